# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Score a network by its predictions alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# legend: N images, K classes, H W image, h w score map, P pixels

Predict = Callable[[Tensor], Tensor]


def mean_entropy(logits: Tensor) -> float:
    """Compute a network's mean prediction entropy.

    The entropy -sum p log p of each pixel's class probabilities, in nats,
    averaged over pixels: 0 if all are certain, log K if all are uniform.

    Args:
        logits: Class scores (N, K, h, w).
    """
    logs = logits.float().log_softmax(1)
    return -(logs.exp() * logs).sum(1).mean().item()


def soft_neighbourhood_density(
    probabilities: Tensor, temperature: float = 0.05, chunk: int = 1024
) -> float:
    """Compute the soft neighbourhood density of predictions (SND).

    Predictions are scaled to length 1. The similarities of one to all others
    (not to itself), divided by the temperature, become a distribution by
    softmax. The score is its entropy, in nats, averaged over predictions. A
    network that clusters the target densely scores high.

    Args:
        probabilities: Class probabilities (P, K) of at least two pixels.
        temperature: Divisor of the similarities.
        chunk: Rows of the P x P matrix in memory at once.

    Source: Saito et al., "Tune it the Right Way", ICCV 2021, Sec. 3.
    """
    unit = F.normalize(probabilities.float(), dim=1)
    total = 0.0
    for start in range(0, len(unit), chunk):
        rows = unit[start : start + chunk]
        scaled = rows @ unit.T / temperature
        own = torch.arange(len(rows), device=unit.device)
        scaled[own, own + start] = -torch.inf
        logs = scaled.log_softmax(1)
        # 0 log 0 is 0, on the diagonal.
        terms = torch.where(logs.isfinite(), logs.exp() * logs, 0)
        total -= terms.sum().double().item()
    return total / len(unit)


def agreement(
    predict: Predict, images: Tensor, logits: Tensor
) -> dict[str, float]:
    """Compute how often predictions survive a change of the image.

    Args:
        predict: Computes class scores (N, K, h, w) of images.
        images: Normalised images (N, 3, H, W).
        logits: Their class scores (N, K, h, w).

    Returns:
        The share of pixels that keep their class when the image is flipped
        (``flip``), scaled by 0.75 (``scale``), or changed in contrast and
        brightness (``photometric``).
    """
    label = logits.argmax(1)
    size = logits.shape[-2:]
    views = {
        'flip': predict(images.flip(-1)).flip(-1),
        'scale': resize(predict(resize(images, _scaled(images))), size),
        'photometric': predict(change_light(images)),
    }
    return {
        name: (scores.argmax(1) == label).float().mean().item()
        for name, scores in views.items()
    }


def change_light(
    images: Tensor, contrast: float = 0.7, brightness: float = 0.3
) -> Tensor:
    """Reduce the contrast of images (N, 3, H, W) and brighten them.

    Args:
        images: Images with any normalisation.
        contrast: Factor of the distance to the image's mean.
        brightness: Offset in standard deviations of the image.
    """
    mean = images.mean((1, 2, 3), keepdim=True)
    deviation = images.std((1, 2, 3), keepdim=True)
    return mean + contrast * (images - mean) + brightness * deviation


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (N, C, H, W) bilinearly."""
    return F.interpolate(maps, size, mode='bilinear', align_corners=False)


def _scaled(images: Tensor, scale: float = 0.75) -> tuple[int, int]:
    height, width = images.shape[-2:]
    return round(height * scale), round(width * scale)
