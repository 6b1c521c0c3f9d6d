# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmseg.models import SegDataPreProcessor
from torch import Tensor

from mmseg_cag.models.data_preprocessor import swaps_channels

# legend: N images, H W image


class GreyLevels:
    """Grey levels of the images that a preprocessor has normalised, and back.

    So one network's images are made those of another, whatever their channel
    order, mean and scale.

    Args:
        preprocessor: What normalises a network's images.
    """

    def __init__(self, preprocessor: SegDataPreProcessor) -> None:
        self.preprocessor = preprocessor

    def of(self, images: Tensor) -> Tensor:
        """Compute BGR in 0..255 from normalised images (N, 3, H, W)."""
        p = self.preprocessor
        if p._enable_normalize:
            images = images * p.std.to(images) + p.mean.to(images)
        return images.flip(1) if swaps_channels(p) else images

    def normalise(self, grey: Tensor) -> Tensor:
        """Compute normalised images from BGR (N, 3, H, W) in 0..255."""
        p = self.preprocessor
        images = grey.flip(1) if swaps_channels(p) else grey
        if p._enable_normalize:
            images = (images - p.mean.to(images)) / p.std.to(images)
        return images
