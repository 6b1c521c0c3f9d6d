# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Count a network's errors and pseudo labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmseg_cag.analysis.runs.labeling_network import Assigned
from mmseg_cag.evaluation.confusion import class_iou
from mmseg_cag.evaluation.uda_iou_metric import CLASS, CONFUSION
from mmseg_cag.fileio.json_file import numbers
from mmseg_cag.models.anchors.pseudo_label_head import PseudoLabelHead

# legend: K classes, h w feature map

UNITS = {
    'anchor': 'gap between the two nearest anchors',
    'probability': 'probability of the likeliest class',
}


@dataclass(frozen=True)
class Score:
    """Score of a network on the target's validation set.

    Attributes:
        mean: mIoU in percent.
        iou: IoU in percent of each class that has one.
        confusion: Pixels (K, K), rows ground truth, columns prediction; None
            if not counted.
        images: Number of images; None for a validation of the run, which uses
            all.
        is_recorded: Whether `mean` and `iou` are of such a validation.
    """

    mean: float
    iou: dict[str, float]
    confusion: np.ndarray | None = None
    images: int | None = None
    is_recorded: bool = False


def score_of_validation(
    validation: dict, classes: Sequence[str]
) -> Score | None:
    """Read a validation's score; None without per-class IoU."""
    values = numbers(validation)
    iou = {
        name: values[f'{CLASS}{name}']
        for name in classes
        if f'{CLASS}{name}' in values
    }
    if 'mIoU' not in values or not iou:
        return None
    counts = validation.get(CONFUSION)
    confusion = _square(counts, len(classes))
    return Score(values['mIoU'], iou, confusion, is_recorded=True)


def score_of_confusion(
    confusion: np.ndarray, classes: Sequence[str], images: int
) -> Score:
    """Compute the score from counted pixels.

    A class in neither ground truth nor predictions has no IoU.

    Args:
        confusion: Pixels (K, K), rows ground truth, columns prediction.
        classes: Names of the classes.
        images: Number of counted images.
    """
    shares = class_iou(torch.from_numpy(confusion)).tolist()
    iou = {
        name: 100 * share
        for name, share in zip(classes, shares, strict=True)
        if not math.isnan(share)
    }
    mean = float(np.mean([*iou.values()])) if iou else float('nan')
    return Score(mean, iou, confusion, images)


def _square(counts: object, size: int) -> np.ndarray | None:
    try:
        matrix = np.array(counts, float)
    except (TypeError, ValueError):
        return None
    return matrix if matrix.shape == (size, size) else None


class Activity:
    """Share of target pixels that a teacher labels, by class.

    Args:
        head: The teacher's head, whose first kind of label is counted.

    Attributes:
        kind: Kind of the labels.
        unit: Measure of confidence, such as `distance`.
        threshold: Confidence (K,) from which a pixel is active.
        seen: Pixels (K,) nearest to the class.
        active: Labelled pixels (K,) among them.
        images: Number of images.
    """

    def __init__(self, head: PseudoLabelHead) -> None:
        self.kind = head.by[0]
        self.unit = UNITS[self.kind]
        if self.kind == 'anchor':
            self.threshold = head.margin.cpu().double().numpy()
        else:
            self.threshold = np.full(len(head.margin), head.probability)
        self.seen, self.active = np.zeros((2, len(self.threshold)))
        self.images = 0

    def add(self, found: Assigned) -> np.ndarray:
        """Count an image's labels; returns them (h, w) uint8."""
        size = len(self.threshold)
        finite = np.isfinite(found.score)
        active = found.active & finite
        self.seen += np.bincount(found.label[finite], minlength=size)
        self.active += np.bincount(found.label[active], minlength=size)
        self.images += 1
        return np.where(found.active, found.label, 255).astype(np.uint8)

    @property
    def share(self) -> float:
        """Return the share of active pixels."""
        return float(self.active.sum() / max(self.seen.sum(), 1))
