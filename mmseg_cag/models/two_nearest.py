# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from torch import Tensor

# legend: N images, K classes


def two_nearest(distances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the smallest and the second smallest of K distances.

    Two searches for the smallest take less time than one for both
    (docs/performance.md).

    Args:
        distances: Distances (N, K, ...); the smallest are overwritten.

    Returns:
        Class of the nearest (N, ...) int64, its distance and that of the
        runner-up (N, ...).
    """
    nearest, label = distances.min(1, keepdim=True)
    distances.scatter_(1, label, float('inf'))
    return label.squeeze(1), nearest.squeeze(1), distances.amin(1)
