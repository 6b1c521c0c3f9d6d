# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.dist import all_reduce
from PIL import Image

from mmseg_cag.datasets.pseudo_label_note import NOTE
from mmseg_cag.workflows.output_folder import OriginFolder

from .class_quantiles import class_quantiles
from .prediction_store import PredictionStore

# legend: K classes, H W image


class Rule(NamedTuple):
    """Which predicted pixels become labels: the surer ones of each class.

    Attributes:
        portion: The threshold of a class is the element at index
            round(portion * n) of the n ascending confidences of its pixels
            over all images.
        cap: But at most this.
    """

    portion: float = 0.5
    cap: float = 0.9


class Share(NamedTuple):
    """The predictions of one rank, to go through several times."""

    store: PredictionStore
    names: list[str]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read labels and confidences (H, W) of one image after another."""
        return (self.store.read(name) for name in self.names)


def keep_sure(
    share: Share,
    folder: LabelFolder,
    classes: list[str],
    ignore_index: int,
    rule: Rule,
) -> dict[str, dict[str, float]]:
    """Write the labels of the pixels whose confidence reaches the threshold.

    Args:
        share: What this rank is to write.
        folder: Where to.
        classes: Names of the K classes.
        ignore_index: What the other pixels are.
        rule: The thresholds.

    Returns:
        By class the threshold and the pixels, over all ranks, that were
        predicted and that were kept.
    """
    values, predicted = class_quantiles(share, len(classes), rule.portion)
    # In float64 as published: the float32 next to 0.9 is below 0.9.
    thresholds = np.minimum(values.astype(np.float64), rule.cap)
    kept = np.zeros_like(predicted)
    for name, (labels, confidences) in zip(share.names, share, strict=True):
        is_kept = confidences >= thresholds[labels]
        kept += np.bincount(labels[is_kept], minlength=len(classes))
        folder.write(name, np.where(is_kept, labels, np.uint8(ignore_index)))
    all_reduce(torch.from_numpy(kept))
    columns = (thresholds.tolist(), predicted.tolist(), kept.tolist())
    return {
        name: {'threshold': t, 'predicted': n, 'kept': m}
        for name, t, n, m in zip(classes, *columns, strict=True)
    }


class LabelFolder(OriginFolder):
    """A folder of pseudo labels that appears complete or not at all.

    Args:
        path: The folder.
        origin: All that its labels depend on, as plain data of JSON.
    """

    def __init__(self, path: Path, origin: dict) -> None:
        super().__init__(path, origin, NOTE, 'pseudo labels')
        self.predictions = self.draft / 'predictions'

    def write(self, name: str, labels: np.ndarray) -> None:
        """Write a label map (H, W) uint8 to the draft."""
        Image.fromarray(labels).save(self.file(name))

    def finish(self, results: dict) -> None:
        """Note the results and give the draft the folder's name."""
        shutil.rmtree(self.predictions)
        super().finish(results)
