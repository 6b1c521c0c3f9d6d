# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmseg.models import SegDataPreProcessor
from torch import Tensor, nn

from .data_preprocessor import converts_bgr_to_rgb

# legend: N images, H W image


class Renormalise(nn.Module):
    """Convert images from one network's normalisation to another's.

    Converts channel order, mean and standard deviation, then the size. Without
    differences the images are returned as they are.

    Args:
        given: Preprocessor that normalised the images.
        wanted: Preprocessor of the network that receives them.
        size: Height and width of its input; None to keep the size.
    """

    def __init__(
        self,
        given: SegDataPreProcessor,
        wanted: SegDataPreProcessor,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.flips = converts_bgr_to_rgb(given) != converts_bgr_to_rgb(wanted)
        mean, std = statistics(given)
        if self.flips:
            mean, std = mean.flip(0), std.flip(0)
        own_mean, own_std = statistics(wanted)
        self.register_buffer('scale', std / own_std, persistent=False)
        shift = (mean - own_mean) / own_std
        self.register_buffer('shift', shift, persistent=False)
        self.is_same = bool((self.scale == 1).all() and not shift.any())
        self.size = None if size is None else tuple(size)

    def forward(self, images: Tensor) -> Tensor:
        """Convert images (N, 3, H, W) float32."""
        if self.flips:
            images = images.flip(1)
        if not self.is_same:
            images = images * self.scale + self.shift
        if self.size in (None, tuple(images.shape[-2:])):
            return images
        return F.interpolate(
            images, self.size, mode='bilinear', antialias=True
        )


def statistics(preprocessor: SegDataPreProcessor) -> tuple[Tensor, Tensor]:
    """Return a preprocessor's mean and standard deviation (3, 1, 1)."""
    if preprocessor._enable_normalize:
        return preprocessor.mean.cpu(), preprocessor.std.cpu()
    return torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
