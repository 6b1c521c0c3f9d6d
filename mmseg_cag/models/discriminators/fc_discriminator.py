# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

# legend: N images, C channels (classes), H W image size


@MODELS.register_module()
class FCDiscriminator(nn.Module):
    """Fully convolutional judge of the domain that class scores come from.

    Five 4x4 convolutions of stride 2 with PyTorch's default initialisation
    and without normalisation.

    Args:
        in_channels: Channels C of the input, one a class.
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
