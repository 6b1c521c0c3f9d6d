# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmseg.registry import MODELS
from torch import Tensor, nn

# legend: N images, C channels (classes), H W image size


@MODELS.register_module()
class ProDADiscriminator(nn.Sequential):
    """The smaller judge of domains of ProDA's warm-up.

    Four 3x3 convolutions of stride 2 and a 1x1 convolution, with PyTorch's
    default initialisation and without normalisation: domain scores
    (N, 1, H/16, W/16) of class probabilities (N, C, H, W).

    Args:
        in_channels: Channels C of the input, one a class.
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
