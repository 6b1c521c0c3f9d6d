# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from torch import Tensor

# legend: K classes, C feature channels, P pixels, B bins


def anchor_distances(anchors: Tensor, counts: Tensor) -> Tensor:
    """Compute the Euclidean distances between anchors.

    Args:
        anchors: Anchors (K, C).
        counts: What each is a mean of (K,); 0 where there is no anchor.

    Returns:
        (K, K) float64, infinite from and to a class without an anchor.
    """
    distances = torch.cdist(anchors.double()[None], anchors.double()[None])[0]
    absent = counts == 0
    return distances.masked_fill(absent[:, None] | absent, float('inf'))


def gap_edges(distances: Tensor, bins: int) -> Tensor | None:
    """Choose edges of bins that hold every gap that can occur.

    By the triangle inequality a pixel's gap, from its nearest anchor to the
    runner-up, is at most the distance from that anchor to its own nearest
    neighbour.

    Args:
        distances: Distances between anchors (K, K).
        bins: Number of bins B.

    Returns:
        Edges (B + 1,) from 0; None where there are not two anchors.
    """
    others = distances.clone().fill_diagonal_(float('inf'))
    neighbours = others.min(1).values
    neighbours = neighbours[neighbours.isfinite()]
    if not len(neighbours):
        return None
    return torch.linspace(
        0, neighbours.max().item(), bins + 1, device=distances.device
    )


def count_gaps(
    gap: Tensor, label: Tensor, edges: Tensor, num_classes: int
) -> Tensor:
    """Count pixels by class and gap.

    Args:
        gap: Gaps (P,).
        label: The nearest anchor's class (P,) int64.
        edges: Edges of the bins (B + 1,).
        num_classes: Classes K.

    Returns:
        (K, B) int64; a gap on the last edge is in the last bin.
    """
    bins = len(edges) - 1
    # The inner edges alone: what rounding puts outside is in an outer bin.
    index = torch.bucketize(gap, edges[1:-1].to(gap.dtype), right=True)
    flat = torch.bincount(label * bins + index, minlength=num_classes * bins)
    return flat.view(num_classes, bins)
