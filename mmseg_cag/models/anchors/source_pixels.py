# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from mmseg_cag.models.anchors.arithmetic import full_float32

# legend: K classes, C feature channels, P pixels of a class


class SourcePixels(nn.Module):
    """Feature sampler that replaces an absent source by class Gaussians.

    Each class is a Gaussian around the mean of all its pixels, which is not
    its anchor if that averages over images. All classes are sampled equally
    often and weighted by their share of the source's pixels: the same
    expectation as sampling by that share, with less noise.

    Args:
        num_classes: Classes K.
        channels: Feature channels C.
    """

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        self.register_buffer('prior', torch.zeros(num_classes))
        self.register_buffer('means', torch.zeros(num_classes, channels))
        # Symmetric square root of each class covariance.
        spread = torch.zeros(num_classes, channels, channels)
        self.register_buffer('spread', spread)

    def draw(
        self, count: int, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw pixels as the feature map of one image, one row per class.

        Args:
            count: Pixels P of each class.
            generator: Random generator, on the CPU.

        Returns:
            Features (1, C, K, P), labels (1, K, P) int64, and weights
            (1, K, P) of mean 1.
        """
        means = self.means
        classes, channels = means.shape
        noise = torch.randn(classes, count, channels, generator=generator)
        noise = noise.to(means, non_blocking=True)
        with full_float32(means.device.type):
            feat = means[:, None] + noise @ self.spread
        labels = torch.arange(classes, device=means.device)
        weights = self.prior * classes
        return (
            feat.permute(2, 0, 1)[None],
            labels[None, :, None].expand(1, classes, count),
            weights[None, :, None].expand(1, classes, count),
        )
