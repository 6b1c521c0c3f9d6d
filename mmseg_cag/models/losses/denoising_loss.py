# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Losses of ProDA's denoising stage, as pure functions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_cag.models.anchors.arithmetic import full_float32

from .head_loss import pixel_count

# legend: N images, K classes, C feature channels, h w feature map

# Lower bounds inside logarithms: of one-hot labels, of probabilities.
LEAST_LABEL, LEAST_PROBABILITY = 1e-4, 1e-7
FAR = 1e4  # distance to a class without a prototype


def prototype_distances(
    feat: Tensor, prototypes: Tensor, known: Tensor
) -> Tensor:
    """Compute Euclidean distances, with a gradient for the features.

    Args:
        feat: Features (N, C, h, w).
        prototypes: (K, C) float32.
        known: Classes with a prototype (K,) bool; others are far away.

    Returns:
        (N, K, h, w) float32.
    """
    with full_float32(feat.device.type):
        feat = feat.float()
        weight = -2 * prototypes[:, :, None, None]
        squares = F.conv2d(feat, weight, prototypes.square().sum(1))
    squares = squares + feat.square().sum(1, keepdim=True)
    distances = squares.clamp(min=1e-12).sqrt()
    return distances.masked_fill(~known[:, None, None], FAR)


def rectify(
    probability: Tensor, distances: Tensor, temperature: float
) -> Tensor:
    """Weight class probabilities by proximity to the prototypes.

    Args:
        probability: Probabilities of the initial network (N, K, h, w).
        distances: Distances of the momentum network's features (N, K, h, w).
        temperature: Temperature of the weights; larger is sharper.

    Returns:
        (N, K, h, w), summing to 1 over the classes.

    Source: ProDA Eq. 5 and 6.
    """
    weighted = probability * (-distances * temperature).softmax(1)
    return weighted / weighted.sum(1, keepdim=True).clamp(min=1e-12)


def reverse_cross_entropy(
    logits: Tensor, labels: Tensor, ignore_index: int
) -> Tensor:
    """Cross entropy with label and prediction swapped.

    Args:
        logits: Class scores (N, K, h, w).
        labels: Labels (N, h, w) int64.
        ignore_index: Label to ignore.

    Returns:
        Mean over labelled pixels of all ranks; 0 without any.

    Source: ProDA Eq. 7 (symmetric cross entropy), as released.
    """
    counted = labels != ignore_index
    index = labels.where(counted, 0).unsqueeze(1)
    probability = logits.float().softmax(1).clamp(min=LEAST_PROBABILITY)
    others = probability.sum(1) - probability.gather(1, index).squeeze(1)
    # log 1 is 0: the labelled class contributes nothing.
    loss = -others * torch.tensor(LEAST_LABEL).log().item()
    return loss.where(counted, 0).sum() / pixel_count(counted, loss)


def uniform_divergence(logits: Tensor) -> Tensor:
    """Regularise towards uniform: the mean of -log p over all classes.

    Args:
        logits: Class scores (N, K, h, w).

    Source: ProDA Eq. 10 (regularisation by KLD), as released.
    """
    return -logits.float().log_softmax(1).mean()


def prototype_consistency(
    distances: Tensor, target: Tensor, seen: Tensor
) -> Tensor:
    """KL divergence of soft assignments to the prototypes.

    Args:
        distances: Distances of the student's features in the strong view (N,
            K, h, w).
        target: Those of the momentum network in the weak view, likewise.
        seen: Valid pixels (N, h, w) bool.

    Returns:
        Mean over classes and the pixels of all ranks.

    Source: ProDA Eq. 9, as released.
    """
    loss = F.kl_div(
        (-distances).log_softmax(1), (-target).softmax(1), reduction='none'
    ).sum(1)
    total = loss.where(seen, 0).sum() / pixel_count(seen, loss)
    return total / distances.shape[1]
