# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Distillation losses and labels, as pure functions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .head_loss import pixel_count

# legend: N images, K classes, C feature channels, H W image, h w feature map


def confident_labels(
    logits: Tensor, threshold: float
) -> tuple[Tensor, Tensor]:
    """Label pixels with the most likely class, weighted by probability.

    Args:
        logits: The teacher's class scores (N, K, H, W).
        threshold: Probability below which the weight is 0.

    Returns:
        Labels (N, H, W) int64, and weights (N, H, W) float32.
    """
    weight, labels = logits.float().softmax(1).max(1)
    return labels, weight.where(weight >= threshold, 0)


def soft_label_divergence(
    logits: Tensor, target: Tensor, temperature: float
) -> Tensor:
    """Kullback-Leibler divergence of the student from the teacher.

    Args:
        logits: The student's class scores (N, K, h, w).
        target: The teacher's, likewise.
        temperature: Divisor T of both scores.

    Returns:
        T^2 times the mean over pixels of all ranks.

    Source: Hinton et al., Distilling the Knowledge in a Neural Network, 2015,
    Sec. 2.
    """
    log = (logits.float() / temperature).log_softmax(1)
    other = (target.float() / temperature).log_softmax(1)
    loss = F.kl_div(log, other, reduction='none', log_target=True).sum(1)
    every = torch.ones_like(loss, dtype=torch.bool)
    return temperature**2 * loss.sum() / pixel_count(every, loss)


def feature_direction(feat: Tensor, target: Tensor) -> Tensor:
    """One minus the cosine of two networks' features.

    Args:
        feat: The student's features, projected (N, C, h, w).
        target: The teacher's, likewise.

    Returns:
        Mean over pixels of all ranks.
    """
    loss = 1 - F.cosine_similarity(feat.float(), target.float(), dim=1)
    every = torch.ones_like(loss, dtype=torch.bool)
    return loss.sum() / pixel_count(every, loss)
