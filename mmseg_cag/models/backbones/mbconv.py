# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The building block of EfficientNet-Lite."""

from __future__ import annotations

from mmcv.cnn import build_conv_layer, build_norm_layer
from torch import Tensor, nn

# legend: N images, C channels, H W feature size


class MBConv(nn.Module):
    """Inverted bottleneck: expand 1x1, depthwise, project 1x1, shortcut.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Kernel size of the depthwise convolution.
        stride: Stride of the depthwise convolution.
        expand: Factor by which the block is wider inside; 1 leaves out the
            first convolution.
        norm_cfg: Normalisation layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        expand: int,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        hidden = in_channels * expand
        if expand > 1:
            self.expand_conv = same_conv(in_channels, hidden, 1)
            self.bn0 = build_norm_layer(norm_cfg, hidden)[1]
        self.depthwise_conv = same_conv(
            hidden, hidden, kernel, stride=stride, groups=hidden
        )
        self.bn1 = build_norm_layer(norm_cfg, hidden)[1]
        self.project_conv = same_conv(hidden, out_channels, 1)
        self.bn2 = build_norm_layer(norm_cfg, out_channels)[1]
        self.act = nn.ReLU6(inplace=True)
        self.expand = expand > 1
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block on (N, C, H, W)."""
        y = x
        if self.expand:
            y = self.act(self.bn0(self.expand_conv(y)))
        y = self.act(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return x + y if self.shortcut else y


def same_conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """Build a bias-free convolution with TensorFlow's 'same' padding."""
    adaptive = kernel > 1 and stride > 1
    return build_conv_layer(
        dict(type='Conv2dAdaptivePadding') if adaptive else None,
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        # At stride 1 'same' is the ordinary symmetric padding.
        padding=0 if adaptive else kernel // 2,
        groups=groups,
        bias=False,
    )
