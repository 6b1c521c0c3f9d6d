# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Confusion matrix and IoU."""

from __future__ import annotations

import torch
from torch import Tensor

# legend: K classes


def confusion_matrix(
    ground_truth: Tensor, prediction: Tensor, num_classes: int
) -> Tensor:
    """Count pixels by ground truth and prediction.

    Args:
        ground_truth: Classes, integers of any shape; values outside 0..K-1 are
            ignored.
        prediction: Classes 0..K-1 in the same shape.
        num_classes: Classes K.

    Returns:
        (K, K) int64 on the CPU, rows are the ground truth.
    """
    known = (ground_truth >= 0) & (ground_truth < num_classes)
    pairs = num_classes * ground_truth[known].long() + prediction[known].long()
    counts = torch.bincount(pairs, minlength=num_classes**2)
    return counts.view(num_classes, num_classes).cpu()


def class_iou(confusion: Tensor) -> Tensor:
    """Compute the IoU of each class, from 0 to 1.

    Args:
        confusion: Pixels (K, K).

    Returns:
        (K,) float64, NaN for classes in neither ground truth nor predictions.
    """
    hits = confusion.diagonal().double()
    return hits / (confusion.sum(0) + confusion.sum(1) - hits)
