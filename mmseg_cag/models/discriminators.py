# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.models.translation.resnet_generator import INIT, InstanceNorm

# legend: N images, C channels (classes), H W image size


@MODELS.register_module()
class FCDiscriminator(nn.Module):
    """Fully convolutional discriminator of the domain of class scores.

    Five 4x4 convolutions of stride 2 with PyTorch's default initialisation
    and without normalisation.

    Args:
        in_channels: Channels C of the input, one per class.
        channels: Width of the first layer; the next three double it.

    Source: AdaptSegNet, Sec. 4.3; CLAN and BDL use the same.
    """

    def __init__(self, in_channels: int, channels: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 4, 2, 1)
        self.conv2 = nn.Conv2d(channels, 2 * channels, 4, 2, 1)
        self.conv3 = nn.Conv2d(2 * channels, 4 * channels, 4, 2, 1)
        self.conv4 = nn.Conv2d(4 * channels, 8 * channels, 4, 2, 1)
        self.classifier = nn.Conv2d(8 * channels, 1, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute domain logits (N, 1, H/32, W/32).

        Args:
            x: Class probabilities (N, C, H, W).
        """
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.leaky_relu(conv(x), 0.2)
        return self.classifier(x)


@MODELS.register_module()
class ProDADiscriminator(nn.Sequential):
    """The smaller discriminator of ProDA's warm-up.

    Four 3x3 convolutions of stride 2 and a 1x1 convolution, with PyTorch's
    default initialisation and without normalisation: domain scores
    (N, 1, H/16, W/16) of class probabilities (N, C, H, W).

    Args:
        in_channels: Channels C of the input, one per class.
        channels: Width of the first layer; the next three double it.

    Source: ProDA as released.
    """

    def __init__(self, in_channels: int, channels: int = 64) -> None:
        widths = [in_channels, *(channels * 2**i for i in range(4))]
        slopes = (0.0, 0.0, 0.0, 0.2)
        layers = []
        for inner, outer, slope in zip(
            widths[:-1], widths[1:], slopes, strict=True
        ):
            layers.append(nn.Conv2d(inner, outer, 3, stride=2, padding=1))
            layers.append(nn.LeakyReLU(slope, inplace=True))
        super().__init__(*layers, nn.Conv2d(widths[-1], 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Compute domain scores (N, 1, H/16, W/16).

        Args:
            x: Class probabilities (N, C, H, W).
        """
        return super().forward(x)


@MODELS.register_module()
class PatchDiscriminator(BaseModule):
    """Patch discriminator of real and translated images (PatchGAN).

    The receptive field is 70x70 pixels with three layers, 34x34 with two.

    Args:
        channels: Channels of the first layer; doubled by each next layer up to
            a factor of eight.
        num_layers: Number of layers with stride 2.
        init_cfg: Weight initialisation.

    Source: CycleGAN, Sec. 4; BDL takes 64 channels and 3 layers.
    """

    def __init__(
        self,
        channels: int = 64,
        num_layers: int = 3,
        init_cfg: dict | None = INIT,
    ) -> None:
        super().__init__(init_cfg)
        widths = [channels * min(2**i, 8) for i in range(num_layers + 1)]
        layers = [nn.Conv2d(3, channels, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for i in range(num_layers):
            stride = 2 if i < num_layers - 1 else 1
            layers += [
                nn.Conv2d(widths[i], widths[i + 1], 4, stride, 1),
                InstanceNorm(widths[i + 1]),
                nn.LeakyReLU(0.2, True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Compute scores (N, 1, h, w) of images (N, 3, H, W) in [-1, 1]."""
        return self.layers(images)
