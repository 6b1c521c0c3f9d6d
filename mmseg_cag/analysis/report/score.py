# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmseg_cag.evaluation.uda_iou_metric import CLASS, CONFUSION

from .read_json import numbers

# legend: K classes


@dataclass(frozen=True)
class Score:
    """How well a network predicts the target's validation set.

    Attributes:
        mean: mIoU in percent.
        iou: IoU in percent of each class that has one.
        confusion: Pixels (K, K), rows truth, columns prediction; None if
            nobody counted them.
        images: On how many images; None for a validation of the run, which
            takes all.
    """

    mean: float
    iou: dict[str, float]
    confusion: np.ndarray | None = None
    images: int | None = None


def score_of_validation(
    validation: dict, classes: Sequence[str]
) -> Score | None:
    """Take the score that a validation noted; None without each class's."""
    values = numbers(validation)
    iou = {
        name: values[f'{CLASS}{name}']
        for name in classes
        if f'{CLASS}{name}' in values
    }
    if 'mIoU' not in values or not iou:
        return None
    counts = validation.get(CONFUSION)
    return Score(values['mIoU'], iou, _square(counts, len(classes)))


def score_of_confusion(
    confusion: np.ndarray, classes: Sequence[str], images: int
) -> Score:
    """Compute the score from counted pixels.

    A class in neither the truth nor the predictions has no IoU.

    Args:
        confusion: Pixels (K, K), rows truth, columns prediction.
        classes: Names of the classes.
        images: On how many images they were counted.
    """
    union = confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    iou = {
        name: 100 * float(confusion[k, k] / union[k])
        for k, name in enumerate(classes)
        if union[k]
    }
    mean = float(np.mean([*iou.values()])) if iou else float('nan')
    return Score(mean, iou, confusion, images)


def count_confusion(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int
) -> np.ndarray:
    """Count pixels (K, K) by true and predicted class.

    Args:
        truth: Class map (H, W); values from K on are ignored.
        prediction: Class map (H, W).
        num_classes: Classes K.
    """
    valid = truth < num_classes
    pairs = truth[valid].astype(np.int64) * num_classes + prediction[valid]
    counts = np.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def _square(counts: object, size: int) -> np.ndarray | None:
    try:
        matrix = np.array(counts, float)
    except (TypeError, ValueError):
        return None
    return matrix if matrix.shape == (size, size) else None
