# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor, nn

from mmseg_cag.errors import require_share

from .arithmetic import cumulative_sum

# legend: N images, K classes, B bins, h w feature map

# Bin edges: margins are resolved to 4 %, at any scale of the features.
DECADES, EDGES = (-3, 3), 385


class RunningMargin(nn.Module):
    """Running precision of nearest-anchor labels on the source, by gap.

    Keeps exponentially decaying counts of right and wrong labels in bins of
    the gap. They give the margin for a target precision at any step, without a
    pass over the source. No shape depends on data, and nothing waits for the
    device.

    Args:
        num_classes: Classes K.
        momentum: Weight of a batch in the counts.

    Raises:
        UserError: The momentum is out of range.
    """

    def __init__(self, num_classes: int, momentum: float = 0.1) -> None:
        super().__init__()
        require_share('model.margin_momentum', momentum)
        self.momentum = momentum
        edges = torch.logspace(*DECADES, EDGES)
        # Lower edge of each bin.
        self.register_buffer('edges', F.pad(edges, (1, 0)), persistent=False)
        counts = torch.zeros(2, num_classes, len(self.edges))
        self.register_buffer('counts', counts)  # wrong ones, right ones

    @torch.no_grad()
    def add(self, label: Tensor, gap: Tensor, truth: Tensor) -> None:
        """Count the labels of a source batch, over all ranks.

        Args:
            label: Class of the nearest anchor (N, h, w) int64.
            gap: Gap between nearest and runner-up (N, h, w); non-finite values
                do not count.
            truth: True classes (N, h, w) int64; values outside 0..K-1 do not
                count.
        """
        _, classes, bins = self.counts.shape
        counted = (truth >= 0) & (truth < classes) & gap.isfinite()
        right = (label == truth).long()
        place = torch.bucketize(gap, self.edges[1:], right=True)
        index = (right * classes + label) * bins + place
        found = torch.zeros_like(self.counts).flatten()
        found.scatter_add_(0, index.flatten(), counted.to(found).flatten())
        all_reduce(found)
        self.counts.lerp_(found.view_as(self.counts), self.momentum)

    def margin(self, precision: float, per_class: bool = False) -> Tensor:
        """Find the smallest margins (K,) that reach a precision.

        Args:
            precision: Required share of correct labels among those whose gap
                is at least the margin.
            per_class: Whether each predicted class gets its own margin.

        Returns:
            Lower bin edges; infinite where no bin qualifies, so that nothing
            is assigned.
        """
        counts = self.counts if per_class else self.counts.sum(1, keepdim=True)
        right, all_ = counts[1], counts.sum(0)
        enough = _from_above(right) >= precision * _from_above(all_)
        margins = self.edges.where(enough & (all_ > 0), torch.inf).amin(1)
        return margins.expand(self.counts.shape[1])


def _from_above(counts: Tensor) -> Tensor:
    """Sum each bin and all bins above it."""
    return cumulative_sum(counts.flip(1)).flip(1)
