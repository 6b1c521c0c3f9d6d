# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


class InstanceNorm(nn.GroupNorm):
    """Bring each channel of each image to mean 0 and variance 1.

    It has no scale and shift of its own and no running statistics, so an
    image's result is a function of the image, in training and at test alike.
    As a group norm of a channel a group: `torch.nn.InstanceNorm2d` computes a
    wrong gradient for a channels-last batch of one on the CPU (torch 2.13).

    Args:
        channels: Channels C of the input (N, C, h, w).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, affine=False)


# legend: N images, C channels, H W image

STRIDE = 4  # of the blocks
# As CycleGAN has it; biases are 0.
INIT = dict(type='Normal', layer=['Conv2d', 'ConvTranspose2d'], std=0.02)


@MODELS.register_module()
class ResNetGenerator(BaseModule):
    """CycleGAN's translator of images: residual blocks at a quarter's size.

    Args:
        channels: Channels of the first layer, which double as the size is
            halved, twice.
        num_blocks: Residual blocks.
        residual: Whether the network computes the change of an image, before
            the tanh, instead of all of it. Near to the identity when drawn,
            it keeps fine detail from the first step on.
        init_cfg: How weights are drawn.

    Source: CycleGAN, Sec. 4; BDL takes 64 channels and 9 blocks.
    """

    def __init__(
        self,
        channels: int = 64,
        num_blocks: int = 9,
        residual: bool = False,
        init_cfg: dict | None = INIT,
    ) -> None:
        super().__init__(init_cfg)
        self.residual = residual
        c = channels
        self.layers = nn.Sequential(
            *_norm_relu(_conv(3, c, 7), c),
            *_norm_relu(nn.Conv2d(c, 2 * c, 3, 2, 1), 2 * c),
            *_norm_relu(nn.Conv2d(2 * c, 4 * c, 3, 2, 1), 4 * c),
            *(ResidualBlock(4 * c) for _ in range(num_blocks)),
            *_norm_relu(_enlarge(4 * c, 2 * c), 2 * c),
            *_norm_relu(_enlarge(2 * c, c), c),
            _conv(c, 3, 7),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Translate images of any size.

        Args:
            images: Images (N, 3, H, W) in [-1, 1]. A size that the blocks'
                stride does not divide is padded by reflection at the right
                and the bottom, which is cut off in the end.
        """
        height, width = images.shape[-2:]
        padded = F.pad(
            images, (0, -width % STRIDE, 0, -height % STRIDE), mode='reflect'
        )
        change = self.layers(padded)[..., :height, :width]
        if self.residual:
            # Short of -1 and 1, where the inverse of tanh is infinite.
            change = change + (images * 0.99).atanh()
        return torch.tanh(change)


class ResidualBlock(nn.Module):
    """Two convolutions, of which the input is added to the result.

    Args:
        channels: Channels C of input and output (N, C, h, w).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_norm_relu(_conv(channels, channels, 3), channels),
            _conv(channels, channels, 3),
            InstanceNorm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        return x + self.layers(x)


def _conv(inputs: int, outputs: int, size: int) -> nn.Conv2d:
    padding = size // 2
    return nn.Conv2d(
        inputs, outputs, size, padding=padding, padding_mode='reflect'
    )


def _enlarge(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1)


def _norm_relu(conv: nn.Module, channels: int) -> tuple[nn.Module, ...]:
    return conv, InstanceNorm(channels), nn.ReLU(inplace=True)
