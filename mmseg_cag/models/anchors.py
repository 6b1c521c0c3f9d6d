# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from .centroids import Centroids

# legend: N images, K classes, C feature channels, h w feature map


@MODELS.register_module()
class AnchorBank(nn.Module):
    """Category anchors: one centroid of source features for each class.

    ``level='pixel'`` is the paper's centroid over all source pixels of a class
    (CAG Sec. 3.2). ``level='image'`` is the release's: the running mean of
    image-level means over correctly predicted pixels, of at least
    ``min_pixels``, in which no image weighs less than 1 / (``cap`` + 1).

    Args:
        num_classes: Classes K.
        channels: Feature channels C.
        level: What a class mean is taken over, ``pixel`` or ``image``.
        min_pixels: Pixels a class needs in an image (``image`` only).
        cap: Largest weight of the past in the running mean (``image`` only).

    Raises:
        ValueError: ``level`` is unknown or there are fewer than two classes.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int,
        level: str = 'pixel',
        min_pixels: int = 10,
        cap: int = 3000,
    ) -> None:
        super().__init__()
        if level not in ('pixel', 'image'):
            raise ValueError(
                f"AnchorBank: level={level!r}, expected 'pixel' or 'image'"
            )
        if num_classes < 2:
            raise ValueError(
                'AnchorBank: nearest and runner-up need at least 2 classes, '
                f'got num_classes={num_classes}'
            )
        self.level = level
        self.min_pixels = min_pixels
        self.cap = cap
        self.register_buffer('anchors', torch.zeros(num_classes, channels))
        self.register_buffer('counts', torch.zeros(num_classes))

    def new_centroids(self) -> Centroids:
        """Start empty running means with this bank's shape and settings."""
        cap = self.cap if self.level == 'image' else None
        return Centroids(self.anchors, cap)

    @torch.no_grad()
    def accumulate(
        self,
        centroids: Centroids,
        feat: Tensor,
        logits: Tensor,
        labels: Tensor,
    ) -> None:
        """Add a batch of source features to the running means.

        Args:
            centroids: The running means, changed in place.
            feat: Features (N, C, h, w).
            logits: Class scores (N, K, h, w).
            labels: Source labels (N, h, w) int64; values outside 0..K-1 count
                for no class.
        """
        if self.level == 'pixel':
            sums, counts = class_sums(feat, labels, len(self.anchors))
            centroids.add(sums.sum(0), counts.sum(0), counts.sum(0))
            return
        correct = labels.where(logits.argmax(1) == labels, -1)
        sums, counts = class_sums(feat, correct, len(self.anchors))
        counts = counts.where(counts >= self.min_pixels, 0)
        for image_sums, image_counts in zip(sums, counts, strict=True):
            centroids.add(image_sums, image_counts, image_counts.sign())

    def store(self, centroids: Centroids) -> None:
        """Make the running means the anchors; a class never met keeps none."""
        self.anchors.copy_(centroids.means)
        self.counts.copy_(centroids.weights)

    def distances(self, feat: Tensor) -> Tensor:
        """Compute the Euclidean distance of each pixel to each anchor.

        One matrix product, ``|f|^2 - 2 f a + |a|^2``, in the precision of the
        anchors even under autocast, because a threshold decides on it.

        Args:
            feat: Features (N, C, h, w).

        Returns:
            Distances (N, K, h, w), infinite to a class without an anchor.
        """
        absent = (self.counts == 0).view(1, -1, 1, 1)
        return (
            self.squared_distances(feat)
            .sqrt()
            .masked_fill(absent, float('inf'))
        )

    def squared_distances(self, feat: Tensor) -> Tensor:
        """Compute squared distances (N, K, h, w) to all stored anchors."""
        with torch.autocast(feat.device.type, enabled=False):
            feat = feat.to(self.anchors.dtype)
            products = torch.einsum('nchw,kc->nkhw', feat, self.anchors)
            norms = self.anchors.square().sum(1).view(1, -1, 1, 1)
            squares = feat.square().sum(1, keepdim=True)
            # Rounding may leave a tiny negative number where f meets a.
            return (squares - 2 * products + norms).clamp(min=0)


def class_sums(
    feat: Tensor, labels: Tensor, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Sum features by image and class in one matrix product.

    Args:
        feat: Features (N, C, h, w).
        labels: Labels (N, h, w) int64; values outside 0..K-1 are left out.
        num_classes: Classes K.

    Returns:
        Sums (N, K, C) and pixel counts (N, K), both of the features' dtype,
        at least float32.
    """
    with torch.autocast(feat.device.type, enabled=False):
        feat = feat.to(torch.promote_types(feat.dtype, torch.float32))
        one_hot = one_hot_masks(labels, num_classes, feat.dtype)
        sums = torch.einsum('nkp,ncp->nkc', one_hot, feat.flatten(2))
    return sums, one_hot.sum(2)


def one_hot_masks(
    labels: Tensor, num_classes: int, dtype: torch.dtype
) -> Tensor:
    """Turn labels (N, h, w) into masks (N, K, h*w) of zeros and ones."""
    classes = torch.arange(num_classes, device=labels.device).view(1, -1, 1)
    return (labels.flatten(1).unsqueeze(1) == classes).to(dtype)
