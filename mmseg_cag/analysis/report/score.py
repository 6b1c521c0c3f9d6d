# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmseg_cag.evaluation.confusion import class_iou
from mmseg_cag.evaluation.uda_iou_metric import CLASS, CONFUSION
from mmseg_cag.fileio.json_file import numbers

# legend: K classes


@dataclass(frozen=True)
class Score:
    """How well a network predicts the target's validation set.

    Attributes:
        mean: mIoU in percent.
        iou: IoU in percent of each class that has one.
        confusion: Pixels (K, K), rows ground truth, columns prediction;
            None if nobody counted them.
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
        confusion: Pixels (K, K), rows ground truth, columns prediction.
        classes: Names of the classes.
        images: On how many images they were counted.
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
