# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Keep the confident pixels of a whole data set as its pseudo labels."""

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
    """Which predicted pixels become labels: the surer ones of each class.

    Attributes:
        portion: The threshold of a class is the element at index
            round(portion * n) of the n ascending confidences of its pixels
            over all images.
        cap: But at most this.
    """

    portion: float = 0.5
    cap: float = 0.9


class PredictionStore:
    """Predictions of many images on disk, so that memory holds one at a time.

    A file is there in full or not at all: what an interrupted run has
    predicted, the next one need not.

    Args:
        folder: Where they are kept until the labels are written.
        cap: The highest threshold there can be. Higher confidences are kept
            as the next float32, which changes neither a threshold below nor
            what is above it, and takes less space.
    """

    def __init__(self, folder: Path, cap: float) -> None:
        self.folder = folder
        self._highest = _not_below(cap)

    def has(self, name: str) -> bool:
        """Tell whether an image has been predicted."""
        return self._path(name).is_file()

    def write(
        self, name: str, labels: np.ndarray, confidences: np.ndarray
    ) -> None:
        """Keep the prediction of an image.

        Args:
            name: The image's, unique, with ``/`` between folders.
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
        """Get an image's labels (H, W) uint8 and confidences float32.

        Raises:
            UserError: The file is damaged.
        """
        path = self._path(name)
        try:
            with np.load(path, allow_pickle=False) as kept:
                labels, confidences = kept['labels'], kept['confidences']
        # A zip file of texts and numbers, parsed in many ways.
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
    """The predictions of one rank, to go through several times."""

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
        shard: What this rank is to write.
        folder: Where to.
        classes: Names of the K classes.
        ignore_index: What the other pixels are.
        rule: The thresholds.

    Returns:
        By class the threshold and the pixels, over all ranks, that were
        predicted and that were kept.
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
    """A folder of pseudo labels that appears complete or not at all."""

    metadata, content = METADATA, 'pseudo labels'

    @property
    def predictions(self) -> Path:
        """Where predictions are kept until the labels are written."""
        return self.draft / 'predictions'

    def write(self, name: str, labels: np.ndarray) -> None:
        """Write a label map (H, W) uint8 to the draft."""
        Image.fromarray(labels).save(self.file(name))

    def finish(self, results: dict) -> None:
        """Note the results and give the draft the folder's name."""
        shutil.rmtree(self.predictions)
        super().finish(results)
