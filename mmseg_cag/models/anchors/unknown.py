# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from torch import Tensor, nn

from mmseg_cag.errors import UserError

# legend: N images, P sampled pixels, K classes, h w feature map


class UnknownPixels(nn.Module):
    """Tell pixels that are of no known class, by their nearest anchor.

    A pixel is unknown where it is farther from its nearest anchor than a
    share of the source's pixels of that class that are nearest to it, too;
    those that another anchor claims are as far as from there to here. A class
    that no such pixel is of is never limited.

    Args:
        num_classes: Classes K.
        quantile: The share.

    Raises:
        UserError: It is no share.
    """

    def __init__(self, num_classes: int, quantile: float) -> None:
        super().__init__()
        if not 0 < quantile < 1:
            raise UserError(
                f'unknown_quantile={quantile}, expected a share between 0 '
                'and 1'
            )
        self.quantile = quantile
        self.register_buffer('limit', torch.full((num_classes,), torch.inf))

    @torch.no_grad()
    def calibrate(self, distances: Tensor, labels: Tensor) -> None:
        """Measure the limits (K,) on labelled source pixels.

        Args:
            distances: Distances to the anchors (P, K).
            labels: True classes (P,) int64.
        """
        nearest, found = distances.min(1)
        for k in range(len(self.limit)):
            own = nearest[(labels == k) & (found == k)].sort().values
            if len(own):
                self.limit[k] = own[int(self.quantile * (len(own) - 1))]

    def forward(self, distances: Tensor) -> Tensor:
        """Tell which pixels are unknown.

        Args:
            distances: Distances to the anchors (N, K, ...).

        Returns:
            (N, ...) bool.
        """
        return self.excess(distances) > 1

    def excess(self, distances: Tensor) -> Tensor:
        """Compute how many times its limit a pixel's distance is (N, ...)."""
        nearest, label = distances.min(1)
        return nearest / self.limit[label]
