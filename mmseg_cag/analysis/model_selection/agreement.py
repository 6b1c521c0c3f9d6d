# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

# legend: N images, K classes, H W image, h w score map

Predict = Callable[[Tensor], Tensor]


def agreement(
    predict: Predict, images: Tensor, logits: Tensor
) -> dict[str, float]:
    """Compute how often a prediction survives a change of the image.

    Args:
        predict: Computes class scores (N, K, h, w) of images.
        images: Normalised images (N, 3, H, W).
        logits: Their class scores (N, K, h, w).

    Returns:
        The share of pixels that keep their class when the image is
        ``flip``-ped, when its ``scale`` is 0.75, and when its contrast and
        brightness (``photometric``) are others.
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
    """Weaken the contrast of images (N, 3, H, W) and brighten them.

    Args:
        images: Images of any normalisation.
        contrast: What remains of the distance to the image's mean.
        brightness: What is added, in standard deviations of the image.
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
