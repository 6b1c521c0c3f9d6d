# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from torch import Tensor

# legend: N images, K classes, C feature channels


class Centroids:
    """Running class means in float64, merged batch by batch, rank by rank.

    Args:
        like: Tensor (K, C) whose shape and device are taken.
        cap: Largest weight of the past; None for an exact mean.
    """

    def __init__(self, like: Tensor, cap: int | None = None) -> None:
        self.means = torch.zeros_like(like, dtype=torch.float64)
        self.weights = self.means.new_zeros(len(like))
        self.cap = cap

    def add(self, sums: Tensor, pixels: Tensor, weights: Tensor) -> None:
        """Move the means towards the class means of images, one by one.

        The release's rule a <- (a n + m) / (n + 1), n <- min(n + 1, cap)
        with weight w in the place of 1 (as released, and exact without cap).
        Written out, an image's share in the end is its share when it came
        times what each later one left.

        Args:
            sums: Feature sums (N, K, C).
            pixels: How many pixels each sum is over (N, K).
            weights: Weight of each new mean (N, K), zero for a class that an
                image does not have.
        """
        weights = weights.double()
        after = self._capped(self.weights + weights.cumsum(0))
        before = torch.cat([self.weights[None], after[:-1]])
        share = weights / (before + weights).clamp(min=1)
        left = (1 - share).flip(0).cumprod(0).flip(0)
        share[:-1] *= left[1:]
        share = share / pixels.clamp(min=1)
        self.means *= left[0].unsqueeze(1)
        self.means += (sums * share.unsqueeze(2)).sum(0)
        self.weights = after[-1]

    def reduce(self) -> None:
        """Merge the means of all ranks: every rank holds the same after it.

        Exact below the cap; above it the ranks' means are averaged.
        """
        sums = self.means * self.weights.unsqueeze(1)
        all_reduce(sums)
        all_reduce(self.weights)
        self.means = sums / self.weights.clamp(min=1).unsqueeze(1)
        self.weights = self._capped(self.weights)

    def _capped(self, weights: Tensor) -> Tensor:
        return weights if self.cap is None else weights.clamp(max=self.cap)
