# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch.nn.functional as F
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor, nn

from mmseg_cag.models.data_preprocessor import swaps_channels

# legend: N images, K classes, H W image


class Deployed(nn.Module):
    """A segmentor from the pixels of an image file to class scores.

    What mmseg's preprocessor does is inside: the order of the channels, mean
    and standard deviation.

    Args:
        model: A stock segmentor that predicts whole images.
    """

    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        self.model = model.eval()
        # mmseg's preprocessor takes lists, which no exporter follows.
        self.swaps_channels = swaps_channels(model.data_preprocessor)

    def forward(self, image: Tensor) -> Tensor:
        """Compute class scores.

        Args:
            image: Images (N, 3, H, W) float32, 0 to 255, BGR as OpenCV reads
                them.

        Returns:
            Logits (N, K, H, W).
        """
        preprocessor = self.model.data_preprocessor
        inputs = image.flip(1) if self.swaps_channels else image
        if preprocessor._enable_normalize:
            inputs = (inputs - preprocessor.mean) / preprocessor.std
        head = self.model.decode_head
        return F.interpolate(
            head(self.model.extract_feat(inputs)),
            image.shape[-2:],
            mode='bilinear',
            align_corners=head.align_corners,
        )
