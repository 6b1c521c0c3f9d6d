# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.dist import all_gather_object
from torch import Tensor

# legend: N images, K classes, C feature channels, h w feature map,
# P sampled pixels


class PixelSample:
    """Evenly spread labelled pixels of a pass over a data set.

    Takes about ``size`` pixels over all ranks, the same share of each batch,
    at a regular stride: no randomness, and no more memory for more images
    until there are more of them than wanted pixels.

    Args:
        size: Wanted number of pixels P.
        num_images: Images that all ranks pass over together.
        like: Tensor (K, C) of the classes' number, channels and device.
    """

    def __init__(self, size: int, num_images: int, like: Tensor) -> None:
        self.per_image = -(-size // num_images)
        self.num_classes = len(like)
        # A rank without an image has an empty sample.
        self._feat = [like.new_empty(0, like.shape[1])]
        self._labels = [like.new_empty(0, dtype=torch.int64)]

    def add(self, feat: Tensor, labels: Tensor) -> None:
        """Sample a batch.

        Args:
            feat: Features (N, C, h, w).
            labels: Labels (N, h, w) int64; values outside 0..K-1 are left
                out.
        """
        is_class = (labels >= 0) & (labels < self.num_classes)
        pixels = is_class.flatten().nonzero().squeeze(1)
        stride = max(1, len(pixels) // (self.per_image * len(feat)))
        pixels = pixels[stride // 2 :: stride]
        self._feat.append(
            feat.movedim(1, -1).flatten(0, 2)[pixels].to(self._feat[0])
        )
        self._labels.append(labels.flatten()[pixels])

    def gather(self) -> tuple[Tensor, Tensor]:
        """Join features (P, C) and labels (P,) of all ranks."""
        own = torch.cat(self._feat).cpu(), torch.cat(self._labels).cpu()
        feats, labels = zip(*all_gather_object(own), strict=True)
        device = self._feat[0].device
        return torch.cat(feats).to(device), torch.cat(labels).to(device)
