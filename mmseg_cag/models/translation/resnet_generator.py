# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


class InstanceNorm(nn.GroupNorm):
    """Instance norm without affine parameters or running statistics.

    The result depends on the image only, in training and testing. Implemented
    as a group norm with one channel per group, because
    `torch.nn.InstanceNorm2d` computes a wrong gradient for a channels-last
    batch of one on the CPU (torch 2.13).

    Args:
        channels: Channels C of the input (N, C, h, w).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, affine=False)


# legend: N images, C channels, H W image

STRIDE = 4  # stride of the blocks
# As in CycleGAN; biases are 0.
INIT = dict(type='Normal', layer=['Conv2d', 'ConvTranspose2d'], std=0.02)


@MODELS.register_module()
class ResNetGenerator(BaseModule):
    """CycleGAN's generator: residual blocks at quarter resolution.

    Args:
        channels: Channels of the first layer, doubled in each of two
            downsamplings.
        num_blocks: Number of residual blocks.
        residual: Whether the network predicts the change of an image, before
            the tanh, instead of the image. Initially near the identity, it
            preserves fine detail from the first step.
        init_cfg: Weight initialisation.

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
            images: Images (N, 3, H, W) in [-1, 1]. Sizes that are no multiples
                of the stride are padded by reflection at the right and bottom
                and cropped at the end.
        """
        height, width = images.shape[-2:]
        padded = F.pad(
            images, (0, -width % STRIDE, 0, -height % STRIDE), mode='reflect'
        )
        change = self.layers(padded)[..., :height, :width]
        if self.residual:
            # Clamp inside (-1, 1), where the inverse of tanh is finite.
            change = change + (images * 0.99).atanh()
        return torch.tanh(change)


class ResidualBlock(nn.Module):
    """Two convolutions with a residual connection.

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
