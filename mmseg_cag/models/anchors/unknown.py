# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from mmseg_cag.errors import UserError

# legend: N images, P sampled pixels, K classes, h w feature map


class UnknownPixels(nn.Module):
    """Detector of pixels of no known class, by their nearest anchor.

    A pixel is unknown if its distance to the nearest anchor exceeds that
    class's limit: a quantile of the distances of the class's correctly
    assigned source pixels (misassigned ones are closer to another anchor). A
    class without such pixels has no limit.

    Args:
        num_classes: Classes K.
        quantile: Share of the source pixels within the limit.

    Raises:
        UserError: It is not in 0..1.
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

    @property
    def has_limits(self) -> bool:
        """Whether any class has a limit."""
        return bool(self.limit.isfinite().any())

    def require_limits(self, origin: str | Path) -> None:
        """Check that there are limits; without them nothing is unknown.

        Args:
            origin: Setting or checkpoint that needs them, for the error.

        Raises:
            UserError: No class has one.
        """
        if not self.has_limits:
            raise UserError(
                f'{origin}: the checkpoint has no limits, expected one that '
                'was trained with model.pseudo_label_head.unknown_quantile'
            )

    @torch.no_grad()
    def calibrate(self, distances: Tensor, labels: Tensor) -> None:
        """Measure the limits (K,) on labelled source pixels.

        Args:
            distances: Distances to the anchors (P, K).
            labels: True classes (P,) int64.
        """
        nearest, found = distances.min(1)
        self.limit.fill_(torch.inf)
        for k in range(len(self.limit)):
            own = nearest[(labels == k) & (found == k)].sort().values
            if len(own):
                # The least of them with that share at or below it.
                place = math.ceil(self.quantile * len(own)) - 1
                self.limit[k] = own[place]

    def forward(self, distances: Tensor) -> Tensor:
        """Find the unknown pixels.

        Args:
            distances: Distances to the anchors (N, K, ...).

        Returns:
            (N, ...) bool.
        """
        return self.excess(distances) > 1

    def excess(self, distances: Tensor) -> Tensor:
        """Compute each pixel's distance relative to its limit (N, ...)."""
        nearest, label = distances.min(1)
        return nearest / self.limit[label]
