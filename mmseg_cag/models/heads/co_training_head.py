# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

from mmengine.model import ModuleList
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor

from .dlv2_head import DLV2Head

# legend: N images, K classes, C channels, h w feature size


@MODELS.register_module()
class CoTrainingHead(BaseDecodeHead):
    """DeepLab-V2 heads on the same features; prediction sums their scores.

    Args:
        in_channels: Channels C of the input.
        num_heads: Number of heads.
        dilations: Dilation of each branch of each head.
        **kwargs: Passed to ``BaseDecodeHead``.

    Source: CLAN, Sec. 3.2; the sum of scores as released.
    """

    def __init__(
        self,
        in_channels: int,
        num_heads: int = 2,
        dilations: tuple[int, ...] = (6, 12, 18, 24),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            channels=in_channels,
            dropout_ratio=0,
            init_cfg=None,
            **kwargs,
        )
        # Each head has its own classifiers.
        del self.conv_seg
        self.heads = ModuleList(
            DLV2Head(in_channels, dilations, len(dilations), **kwargs)
            for _ in range(num_heads)
        )

    def forward_each(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        """Compute the class scores (N, K, h, w) of every head.

        Args:
            inputs: Feature maps of the backbone; ``in_index`` selects one
                (N, C, h, w).
        """
        return [head(inputs) for head in self.heads]

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Compute the sum (N, K, h, w) of the heads' class scores.

        Args:
            inputs: As for ``forward_each``.
        """
        return sum(self.forward_each(inputs))
