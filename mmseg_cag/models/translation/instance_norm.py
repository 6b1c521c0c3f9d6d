# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from torch import nn


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
