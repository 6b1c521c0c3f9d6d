# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""CAG's operations as loops over classes and images, for comparison.

Written from a description of the release: each class takes a pass over the
feature map and writes its intermediate results.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .operations import Maps

# legend: N images, K classes, C feature channels, h w feature map

# Constants of the release.
MIN_PIXELS = 10
LIMIT = 5.0
SCALE, WEIGHT = 10.0, 0.7
CAP = 3000


@torch.no_grad()
def loop_labels(maps: Maps) -> Tensor:
    """Label (N, h, w) by distances to one anchor at a time."""
    distances = torch.stack(
        [
            torch.norm(maps.feat - anchor.view(1, -1, 1, 1), dim=1)
            for anchor in maps.bank.anchors
        ],
        dim=1,
    )
    nearest, labels = distances.min(1, keepdim=True)
    distances.scatter_(1, labels, float('inf'))
    gap = distances.min(1).values - nearest.squeeze(1)
    active = gap >= maps.head.margin[0]
    return labels.squeeze(1).where(active, maps.head.ignore_index)


def loop_loss(maps: Maps) -> Tensor:
    """Compute the loss gradient (N, C, h, w) one class mean at a time."""
    losses = []
    for k, pixels, mean in _means(maps):
        mean = _Pool.apply(mean, 2 * pixels / maps.labels[0].numel())
        loss = F.smooth_l1_loss(mean, maps.bank.anchors[k])
        while loss.item() > LIMIT:
            loss = loss / 10
        losses.append(loss)
    total = WEIGHT * SCALE * sum(losses) / len(losses)
    return torch.autograd.grad(total, maps.feat)[0]


@torch.no_grad()
def loop_anchors(maps: Maps) -> Tensor:
    """Add one class mean at a time to the running means (K, C)."""
    anchors = torch.zeros_like(maps.bank.anchors, dtype=torch.float64)
    counts = [0] * len(anchors)
    for k, _, mean in _means(maps):
        anchors[k] = (anchors[k] * counts[k] + mean) / (counts[k] + 1)
        counts[k] = min(counts[k] + 1, CAP)
    return anchors


def _means(maps: Maps) -> Iterator[tuple[int, int, Tensor]]:
    """Iterate over images and classes: class, pixels, mean (C,)."""
    predicted = maps.logits.argmax(1)
    for n in range(len(maps.feat)):
        for k in range(len(maps.bank.anchors)):
            mask = (predicted[n] == k) & (maps.labels[n] == k)
            pixels = mask.sum().item()
            if pixels >= MIN_PIXELS:
                yield k, pixels, (maps.feat[n] * mask).sum((1, 2)) / pixels


class _Pool(torch.autograd.Function):
    """Identity whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return mean.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


# By the name of the equivalent operation.
LOOPS = {
    'pseudo labels': loop_labels,
    'distance loss': loop_loss,
    'anchors': loop_anchors,
}
