# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

# legend: N images, K classes, C channels, h w map of the first level


@MODELS.register_module()
class DAFormerHead(BaseDecodeHead):
    """Context-aware fusion of the four levels of a transformer.

    Each level is projected to C channels per pixel and resized to the size of
    the first. Parallel dilated convolutions, separable for dilations above 1,
    and a 3x3 bottleneck fuse them. The method's features are the input of
    ``conv_seg``. Parts are named as in the release.

    Args:
        in_channels: Channels of each level.
        channels: C, the width of all inner layers.
        dilations: Dilations of the parallel convolutions; 1 means a 1x1
            convolution. If empty, one 1x1 convolution fuses, as in SegFormer's
            head and HRDA's attention.
        norm_cfg: Norm of the convolutions.
        **kwargs: Arguments of `BaseDecodeHead`.

    Source: DAFormer Sec. 3.2 and as released.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        dilations: Sequence[int] = (1, 6, 12, 18),
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        levels = len(in_channels)
        kwargs.setdefault('in_index', list(range(levels)))
        norm_cfg = norm_cfg or dict(type='BN', requires_grad=True)
        super().__init__(
            list(in_channels),
            channels,
            input_transform='multiple_select',
            norm_cfg=norm_cfg,
            **kwargs,
        )
        self.embed_layers = nn.ModuleList(
            Embedding(width, channels) for width in in_channels
        )
        width = levels * channels
        self.fuse_layer = (
            Fusion(width, channels, dilations, norm_cfg)
            if dilations
            else ConvModule(width, channels, 1, norm_cfg=norm_cfg)
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute class scores (N, K, h, w).

        Args:
            inputs: Feature maps of the backbone; ``in_index`` selects them.
        """
        levels = self._transform_inputs(inputs)
        size = levels[0].shape[-2:]
        embedded = [
            resize(
                embed(level),
                size,
                mode='bilinear',
                align_corners=self.align_corners,
            )
            for embed, level in zip(self.embed_layers, levels, strict=True)
        ]
        return self.cls_seg(self.fuse_layer(torch.cat(embedded, 1)))


class Embedding(nn.Module):
    """A linear map per pixel.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, h, w) to (N, channels, h, w)."""
        weight = self.proj.weight[:, :, None, None]
        return F.conv2d(x, weight, self.proj.bias)


class Fusion(nn.Module):
    """Parallel dilated convolutions and a bottleneck.

    Args:
        in_channels: Channels of the input.
        channels: Channels of each convolution and of the output.
        dilations: Dilations of the convolutions.
        norm_cfg: Norm of all layers.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        dilations: Sequence[int],
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        self.aspp_modules = nn.ModuleList(
            ConvModule(in_channels, channels, 1, norm_cfg=norm_cfg)
            if dilation == 1
            else DepthwiseSeparableConvModule(
                in_channels,
                channels,
                3,
                padding=dilation,
                dilation=dilation,
                norm_cfg=norm_cfg,
            )
            for dilation in dilations
        )
        self.bottleneck = ConvModule(
            len(dilations) * channels,
            channels,
            3,
            padding=1,
            norm_cfg=norm_cfg,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, h, w) to (N, channels, h, w)."""
        branches = [branch(x) for branch in self.aspp_modules]
        return self.bottleneck(torch.cat(branches, 1))
