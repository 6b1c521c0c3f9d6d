# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, h, w)."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)
