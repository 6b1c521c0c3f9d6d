# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

# legend: N images, K classes, C channels, h w feature size


@MODELS.register_module()
class DLV2Head(BaseDecodeHead):
    """Sum of dilated 3x3 classifiers, DeepLab-V2's head.

    Args:
        in_channels: Channels C of the input.
        dilations: Dilation of each branch.
        active_branches: Number of summed branches. AdaptSegNet as released
            returns after the second of four; unused ones are not built, so
            that no optimiser or process group waits for their gradients.
        **kwargs: Passed to ``BaseDecodeHead``; not ``channels`` or
            ``dropout_ratio``, since nothing precedes the classifiers.

    Raises:
        ValueError: If there are fewer dilations than active branches.

    Source: AdaptSegNet (2 branches), CLAN and BDL (4) as released.
    """

    def __init__(
        self,
        in_channels: int,
        dilations: tuple[int, ...] = (6, 12, 18, 24),
        active_branches: int = 4,
        **kwargs: Any,
    ) -> None:
        if not 1 <= active_branches <= len(dilations):
            raise ValueError(
                f'active_branches={active_branches} does not fit the '
                f'{len(dilations)} dilations {dilations}'
            )
        super().__init__(
            in_channels,
            channels=in_channels,
            dropout_ratio=0,
            init_cfg=None,
            **kwargs,
        )
        # The branches are the classifiers.
        del self.conv_seg
        self.branches = nn.ModuleList(
            nn.Conv2d(in_channels, self.out_channels, 3, padding=d, dilation=d)
            for d in dilations[:active_branches]
        )

    def init_weights(self) -> None:
        """Draw weights from N(0, 0.01); biases keep PyTorch's default."""
        super().init_weights()
        for branch in self.branches:
            nn.init.normal_(branch.weight, std=0.01)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Compute class scores (N, K, h, w).

        Args:
            inputs: Feature maps of the backbone; ``in_index`` selects one
                (N, C, h, w).
        """
        x = self._transform_inputs(inputs)
        return sum(branch(x) for branch in self.branches)
