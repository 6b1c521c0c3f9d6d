# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

# legend: N images, K classes, C channels, h w size of the low-level features


@MODELS.register_module()
class DeepLabV3PlusHead(BaseDecodeHead):
    """DeepLab-V3+ head of CAG: plain convolutions, element-wise dropout.

    It differs from mmseg's head: no convolution is depthwise, the image pool
    comes last in the concatenation, the bottleneck is 1x1, and three dropouts
    act on elements rather than channels. The method's features are the input
    of ``conv_seg``: non-negative and at the low-level resolution.

    The image pool normalises one value per image, so a batch of one cannot
    train with batch statistics.

    Args:
        in_channels: Channels of the deep features.
        channels: Channels of every branch and of the features.
        c1_in_channels: Channels of the low-level features.
        c1_channels: Channels after reducing them.
        c1_index: Index of the low-level features in the inputs.
        dilations: Dilation of each branch; 1 means a 1x1 convolution.
        inner_dropout: Dropout after the bottleneck and inside the decoder.
        norm_cfg: Normalisation layer.
        **kwargs: Passed to ``BaseDecodeHead``; its ``dropout_ratio`` acts
            before the classifier.

    Source: CAG-UDA as released; DeepLab-V3+, Chen et al., ECCV 2018.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        c1_in_channels: int = 256,
        c1_channels: int = 48,
        c1_index: int = 0,
        dilations: tuple[int, ...] = (1, 6, 12, 18),
        inner_dropout: float = 0.5,
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        norm_cfg = norm_cfg or dict(type='BN')
        super().__init__(
            in_channels, channels, norm_cfg=norm_cfg, init_cfg=None, **kwargs
        )
        self.c1_index = c1_index
        self.aspp_modules = nn.ModuleList(
            self._conv(in_channels, channels, 3 if d > 1 else 1, d)
            for d in dilations
        )
        self.image_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), self._conv(in_channels, channels, 1)
        )
        self.bottleneck = self._conv(
            channels * (len(dilations) + 1), channels, 1
        )
        self.bottleneck_dropout = nn.Dropout(inner_dropout)
        self.c1_bottleneck = self._conv(c1_in_channels, c1_channels, 1)
        self.fuse = nn.Sequential(
            self._conv(channels + c1_channels, channels, 3),
            nn.Dropout(inner_dropout),
            self._conv(channels, channels, 3),
        )
        self.dropout = nn.Dropout(self.dropout_ratio)

    def _conv(
        self, in_channels: int, channels: int, kernel: int, dilation: int = 1
    ) -> ConvModule:
        return ConvModule(
            in_channels,
            channels,
            kernel,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            norm_cfg=self.norm_cfg,
        )

    def init_weights(self) -> None:
        """Initialise with Kaiming normal (fan in) and zero biases."""
        super().init_weights()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity='relu')
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Compute class scores (N, K, h, w).

        Args:
            inputs: Feature maps of the backbone; ``c1_index`` selects the
                low-level ones (N, C, h, w), ``in_index`` the deep ones.
        """
        low = self.c1_bottleneck(inputs[self.c1_index])
        x = self._transform_inputs(inputs)
        pooled = self.image_pool(x).expand(-1, -1, *x.shape[2:])
        branches = [branch(x) for branch in self.aspp_modules]
        x = self.bottleneck(torch.cat([*branches, pooled], dim=1))
        x = resize(
            self.bottleneck_dropout(x),
            size=low.shape[2:],
            mode='bilinear',
            align_corners=self.align_corners,
        )
        return self.cls_seg(self.fuse(torch.cat([x, low], dim=1)))
