# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Keep the confident pixels of a whole dataset as pseudo labels."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.dist import all_reduce
from PIL import Image

from mmseg_cag.datasets.pseudo_label_metadata import METADATA
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.workflows.output_folder import OutputFolder, ensure_within

from .class_quantiles import class_quantiles

# legend: K classes, H W image


class ThresholdRule(NamedTuple):
    """Select the most confident pixels of each class as labels.

    Attributes:
        portion: The threshold of a class is the element at index
            round(portion * n) of the n ascending confidences of its pixels
            over all images.
        cap: Upper bound of the thresholds.
    """

    portion: float = 0.5
    cap: float = 0.9


class PredictionStore:
    """Predictions of many images on disk, to hold one in memory at a time.

    Files are written atomically: a resumed run reuses the predictions of the
    interrupted one.

    Args:
        folder: Folder of the predictions until the labels are written.
        cap: Upper bound of the thresholds. Higher confidences are stored as
            the next float32, which changes no result and takes less space.
    """

    def __init__(self, folder: Path, cap: float) -> None:
        self.folder = folder
        self._highest = _not_below(cap)

    def has(self, name: str) -> bool:
        """Check whether an image has been predicted."""
        return self._path(name).is_file()

    def write(
        self, name: str, labels: np.ndarray, confidences: np.ndarray
    ) -> None:
        """Save the prediction of an image.

        Args:
            name: The image's unique name, with ``/`` between folders.
            labels: Predicted classes (H, W), uint8.
            confidences: Their probabilities (H, W), float32.

        Raises:
            UserError: The name leads out of the folder.
        """
        path = self._path(name)
        ensure_within(path, self.folder)
        confidences = np.minimum(confidences, self._highest)
        with atomic_path(path) as draft, draft.open('wb') as file:
            np.savez_compressed(file, labels=labels, confidences=confidences)

    def read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Read an image's labels (H, W) uint8 and confidences float32.

        Raises:
            UserError: The file is damaged.
        """
        path = self._path(name)
        try:
            with np.load(path, allow_pickle=False) as kept:
                labels, confidences = kept['labels'], kept['confidences']
        # A zip file of texts and numbers: parsing may raise many errors.
        except Exception as error:
            raise UserError(
                f'{path}: a damaged prediction ({error}), remove it to have '
                'it made again'
            ) from error
        forms = [(part.dtype, part.shape) for part in (labels, confidences)]
        size = labels.shape
        if len(size) != 2 or forms != [(np.uint8, size), (np.float32, size)]:
            raise UserError(f'{path}: holds no prediction, remove it')
        return labels, confidences

    def _path(self, name: str) -> Path:
        return self.folder / f'{name}.npz'


def _not_below(value: float) -> np.float32:
    """Round up to float32."""
    rounded = np.float32(value)
    if float(rounded) < value:
        rounded = np.nextafter(rounded, np.float32(np.inf))
    return rounded


class RankShard(NamedTuple):
    """The predictions of one rank, for repeated iteration."""

    store: PredictionStore
    names: list[str]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read labels and confidences (H, W) of one image after another."""
        return (self.store.read(name) for name in self.names)


def select_confident(
    shard: RankShard,
    folder: LabelFolder,
    classes: list[str],
    ignore_index: int,
    rule: ThresholdRule,
) -> dict[str, dict[str, float]]:
    """Write the labels of the pixels whose confidence reaches the threshold.

    Args:
        shard: The predictions that this rank writes.
        folder: Output folder.
        classes: Names of the K classes.
        ignore_index: Label of the other pixels.
        rule: The thresholds.

    Returns:
        By class, the threshold and the predicted and kept pixels over all
        ranks.
    """
    values, predicted = class_quantiles(shard, len(classes), rule.portion)
    # In float64 as published: the float32 next to 0.9 is below 0.9.
    thresholds = np.minimum(values.astype(np.float64), rule.cap)
    kept = np.zeros_like(predicted)
    for name, (labels, confidences) in zip(shard.names, shard, strict=True):
        is_kept = confidences >= thresholds[labels]
        kept += np.bincount(labels[is_kept], minlength=len(classes))
        folder.write(name, np.where(is_kept, labels, np.uint8(ignore_index)))
    all_reduce(torch.from_numpy(kept))
    columns = (thresholds.tolist(), predicted.tolist(), kept.tolist())
    return {
        name: {'threshold': t, 'predicted': n, 'kept': m}
        for name, t, n, m in zip(classes, *columns, strict=True)
    }


class LabelFolder(OutputFolder):
    """A folder of pseudo labels that is written atomically."""

    metadata, content = METADATA, 'pseudo labels'

    @property
    def predictions(self) -> Path:
        """Return the store of predictions until the labels are written."""
        return self.draft / 'predictions'

    def write(self, name: str, labels: np.ndarray) -> None:
        """Write a label map (H, W) uint8 to the draft."""
        Image.fromarray(labels).save(self.file(name))

    def finish(self, results: dict) -> None:
        """Write the results' metadata and rename the draft."""
        shutil.rmtree(self.predictions)
        super().finish(results)
