# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""ClassMix of DACS, DAFormer and successors, as pure functions.

Functions named ``draw_*`` draw random numbers from a CPU generator; the others
take them as arguments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmseg.structures import SegDataSample
from torch import Generator, Tensor

# legend: N images, H W image

LABELS = 256  # values of an 8-bit label file
VOID = 255  # label of padding, as in mmseg's preprocessor


class Labelled(NamedTuple):
    """Images with a label and a weight per pixel.

    Attributes:
        images: (N, 3, H, W) float32, normalised.
        labels: (N, H, W) int64.
        weight: (N, H, W) float32, or None: 1 everywhere.
        samples: Data samples of the images.
        absent: Classes that cannot occur in a pixel's label, bool (N, K, H,
            W); None for none.
    """

    images: Tensor
    labels: Tensor
    weight: Tensor | None = None
    samples: Sequence[SegDataSample] = ()
    absent: Tensor | None = None

    def counted_labels(self) -> Tensor:
        """Return the labels (N, H, W), -1 where the weight is 0."""
        if self.weight is None:
            return self.labels
        return self.labels.where(self.weight > 0, -1)


def draw_classes(count: int, generator: Generator) -> Tensor:
    """Draw each image's class preference, (N, 256) float32."""
    return torch.rand(count, LABELS, generator=generator)


def class_mask(labels: Tensor, preference: Tensor) -> Tensor:
    """Choose half of a batch's classes, rounded up, for each image.

    Void counts as a class, as released. Does not synchronise with the device.

    Args:
        labels: Labels (N, H, W) int64 of the source, below 256.
        preference: Random numbers (N, 256); the smallest are chosen.

    Returns:
        (N, H, W) bool, True for pixels of a chosen class.

    Source: DACS Alg. 1 (ClassMix); DAFormer as released.
    """
    present = torch.zeros(LABELS, dtype=torch.bool, device=labels.device)
    present.index_fill_(0, labels.flatten(), True)
    preference = preference.to(labels.device, non_blocking=True)
    preference = preference.masked_fill(~present, math.inf)
    rank = preference.argsort(1).argsort(1)
    chosen = rank < (present.sum() + 1) // 2
    return chosen.gather(1, labels.flatten(1)).view_as(labels)


def fit(maps: Tensor, size: Sequence[int], value: int = 0) -> Tensor:
    """Cut maps (..., H, W) at the bottom and right, or pad them by a value.

    Crops differ in size where an image is smaller than the crop.
    """
    bottom, right = (n - m for n, m in zip(size, maps.shape[-2:], strict=True))
    if not (bottom or right):
        return maps
    return F.pad(maps, (0, right, 0, bottom), value=value)


def paste(source: Labelled, target: Labelled, mask: Tensor) -> Labelled:
    """Paste source pixels with weight 1 onto target images.

    Args:
        source: As many source images; their weights are ignored. What lies
            beyond the target images is lost.
        target: Target images.
        mask: (N, H, W) bool, True where the source is pasted.
    """
    size = target.images.shape[-2:]
    mask = fit(mask, size)
    return Labelled(
        torch.where(mask[:, None], fit(source.images, size), target.images),
        torch.where(mask, fit(source.labels, size), target.labels),
        target.weight.masked_fill(mask, 1),
        absent=None
        if source.absent is None
        else fit(source.absent, size) & mask[:, None],
    )
