# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""ClassMix of DACS, DAFormer and their heirs, as pure functions.

Random numbers are drawn by the functions that ``draw``, from a generator on
the CPU, and enter the others as arguments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmseg.structures import SegDataSample
from torch import Generator, Tensor

# legend: N images, H W image

LABELS = 256  # that a label file of one byte can hold


class Labelled(NamedTuple):
    """Images with a label and a weight of each pixel.

    Attributes:
        images: (N, 3, H, W) float32, normalised.
        labels: (N, H, W) int64.
        weight: (N, H, W) float32, or None: 1 everywhere.
        samples: What else the loader knows of each image.
        absent: Classes that no label of a pixel can be, bool (N, K, H, W);
            None for none.
    """

    images: Tensor
    labels: Tensor
    weight: Tensor | None = None
    samples: Sequence[SegDataSample] = ()
    absent: Tensor | None = None

    def counted_labels(self) -> Tensor:
        """Get the labels (N, H, W), -1 where the weight is 0."""
        if self.weight is None:
            return self.labels
        return self.labels.where(self.weight > 0, -1)


def draw_classes(count: int, generator: Generator) -> Tensor:
    """Draw the order in which images prefer classes, (N, 256) float32."""
    return torch.rand(count, LABELS, generator=generator)


def class_mask(labels: Tensor, preference: Tensor) -> Tensor:
    """Choose half of the classes of a batch for each image, rounded up.

    A void label counts as a class, as released. Nothing is asked of the
    device.

    Args:
        labels: Labels (N, H, W) int64 of the source, below 256.
        preference: Drawn numbers (N, 256); the smallest are chosen.

    Returns:
        (N, H, W) bool, True where the label is of a chosen class.

    Source: DACS Alg. 1 (ClassMix); DAFormer as released.
    """
    present = torch.zeros(LABELS, dtype=torch.bool, device=labels.device)
    present.index_fill_(0, labels.flatten(), True)
    preference = preference.to(labels.device, non_blocking=True)
    preference = preference.masked_fill(~present, math.inf)
    rank = preference.argsort(1).argsort(1)
    chosen = rank < (present.sum() + 1) // 2
    return chosen.gather(1, labels.flatten(1)).view_as(labels)


def paste(source: Labelled, target: Labelled, mask: Tensor) -> Labelled:
    """Paste source pixels, of weight 1, over images of the target.

    Args:
        source: Its weights do not count.
        target: Of the same size.
        mask: (N, H, W) bool, True where the source is seen.
    """
    return Labelled(
        torch.where(mask[:, None], source.images, target.images),
        torch.where(mask, source.labels, target.labels),
        target.weight.masked_fill(mask, 1),
        absent=None
        if source.absent is None
        else source.absent & mask[:, None],
    )
