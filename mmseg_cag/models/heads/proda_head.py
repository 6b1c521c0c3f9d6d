# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

# legend: N images, K classes, C channels, h w feature size


@MODELS.register_module()
class ProDAHead(BaseDecodeHead):
    """DeepLab-V2 head whose features are separate from its classifier.

    Parallel dilated convolutions, channel attention and a 3x3 bottleneck give
    ``channels`` signed features, followed by 2-D dropout and a bias-free 1x1
    convolution. The method's features are the input of ``conv_seg``.

    Args:
        in_channels: Channels of the input.
        channels: Features before the classifier.
        dilations: Dilation of each branch; 1 means a 1x1 convolution.
        reduction: Reduction factor of the channel attention.
        norm_cfg: Normalisation of the branches and the bottleneck.
        input_bn: Whether a batch norm precedes the branches (the release
            has it when the backbone comes from SimCLR).
        **kwargs: Passed to ``BaseDecodeHead``.

    Source: ProDA as released.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        dilations: tuple[int, ...] = (1, 6, 12, 18, 24),
        reduction: int = 16,
        norm_cfg: dict | None = None,
        input_bn: bool = False,
        **kwargs: Any,
    ) -> None:
        norm_cfg = norm_cfg or dict(type='GN', num_groups=32)
        super().__init__(
            in_channels, channels, norm_cfg=norm_cfg, init_cfg=None, **kwargs
        )
        self.input_bn = nn.BatchNorm2d(in_channels) if input_bn else None
        self.branches = nn.ModuleList(
            ConvModule(
                in_channels,
                channels,
                3 if dilation > 1 else 1,
                padding=dilation if dilation > 1 else 0,
                dilation=dilation,
                bias=True,
                norm_cfg=norm_cfg,
            )
            for dilation in dilations
        )
        width = channels * len(dilations)
        self.se = ChannelAttention(width, width // reduction)
        self.bottleneck = ConvModule(
            width,
            channels,
            3,
            padding=1,
            bias=True,
            norm_cfg=norm_cfg,
            act_cfg=None,
        )
        self.conv_seg = nn.Conv2d(channels, self.out_channels, 1, bias=False)

    def init_weights(self) -> None:
        """Initialise convolutions from N(0, 0.01); biases as released."""
        super().init_weights()
        for branch in self.branches:
            # Restore PyTorch's default bias, which ConvModule sets to zero.
            branch.conv.reset_parameters()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Compute class scores (N, K, h, w).

        Args:
            inputs: Feature maps of the backbone; ``in_index`` selects one
                (N, C, h, w).
        """
        x = self._transform_inputs(inputs)
        if self.input_bn is not None:
            x = self.input_bn(x)
        x = torch.cat([branch(x) for branch in self.branches], dim=1)
        return self.cls_seg(self.bottleneck(self.se(x)))


class ChannelAttention(nn.Module):
    """Scale channels by a gate computed from their means.

    Args:
        channels: Channels C of the input.
        hidden: Width of the gate's hidden layer.

    Source: Squeeze-and-Excitation Networks, Hu et al., CVPR 2018, Sec. 3.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of (N, C, h, w)."""
        gate = self.fc2(self.fc1(x.mean((2, 3))).relu()).sigmoid()
        return x * gate[:, :, None, None]
