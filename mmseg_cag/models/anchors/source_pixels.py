# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from mmseg_cag.models.anchors.arithmetic import full_float32

# legend: K classes, C feature channels, P pixels of a class


class SourcePixels(nn.Module):
    """Pixels of a source that is not there, drawn from its class moments.

    Each class is a Gaussian about its anchor. All classes are drawn equally
    often and weigh by their share of the source's pixels: the same mean as of
    classes drawn by that share, and less noise.

    Args:
        num_classes: Classes K.
        channels: Feature channels C.
    """

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        self.register_buffer('prior', torch.zeros(num_classes))
        # The symmetric root of the covariance of each class.
        spread = torch.zeros(num_classes, channels, channels)
        self.register_buffer('spread', spread)

    def draw(
        self, anchors: Tensor, count: int, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw pixels as the feature map of an image: a row a class.

        Args:
            anchors: Means of the classes (K, C).
            count: Pixels P of each class.
            generator: What they are drawn by, on the CPU.

        Returns:
            Features (1, C, K, P), labels (1, K, P) int64, and weights
            (1, K, P) of mean 1.
        """
        classes, channels = anchors.shape
        noise = torch.randn(classes, count, channels, generator=generator)
        noise = noise.to(anchors, non_blocking=True)
        with full_float32(anchors.device.type):
            feat = anchors[:, None] + noise @ self.spread
        labels = torch.arange(classes, device=anchors.device)
        weights = self.prior * classes
        return (
            feat.permute(2, 0, 1)[None],
            labels[None, :, None].expand(1, classes, count),
            weights[None, :, None].expand(1, classes, count),
        )
