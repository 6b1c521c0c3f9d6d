# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from torch import Tensor

# legend: K classes, C feature channels


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
        """Move the means towards new class means.

        The release's rule a <- (a n + m) / (n + 1), n <- min(n + 1, cap)
        with weight w in the place of 1 (as released, and exact without cap).

        Args:
            sums: Feature sums (K, C).
            pixels: How many pixels each sum is over (K,).
            weights: Weight of each new mean (K,), zero for a class not met.
        """
        new = sums.double() / pixels.clamp(min=1).unsqueeze(1)
        self._merge(new, weights.double())

    def reduce(self) -> None:
        """Merge the means of all ranks: every rank holds the same after it.

        Exact below the cap; above it the ranks' means are averaged.
        """
        sums = self.means * self.weights.unsqueeze(1)
        all_reduce(sums)
        all_reduce(self.weights)
        self.means = sums / self.weights.clamp(min=1).unsqueeze(1)
        self._apply_cap()

    def _merge(self, means: Tensor, weights: Tensor) -> None:
        self.weights += weights
        share = weights / self.weights.clamp(min=1)
        self.means += share.unsqueeze(1) * (means - self.means)
        self._apply_cap()

    def _apply_cap(self) -> None:
        if self.cap is not None:
            self.weights.clamp_(max=self.cap)
