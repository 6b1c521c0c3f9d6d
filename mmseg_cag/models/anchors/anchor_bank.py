# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, all_reduce
from mmseg.registry import MODELS
from torch import Tensor, nn

from .arithmetic import full_float32, split_bands
from .class_means import RunningClassMeans, class_feature_sums

# legend: N images, K classes, C feature channels, h w feature map


@MODELS.register_module()
class AnchorBank(nn.Module):
    """Category anchors: one centroid of source features for each class.

    ``level='pixel'`` is the paper's centroid over all source pixels of a class
    (CAG Sec. 3.2). ``level='image'`` is the release's: the running mean of
    image-level means over correctly predicted pixels, at least ``min_pixels``
    of them, where no image weighs less than 1 / (``cap`` + 1).

    Args:
        num_classes: Classes K.
        channels: Feature channels C.
        level: Unit that class means average over, ``pixel`` or ``image``.
        min_pixels: Pixels a class needs in an image (``image`` only).
        cap: Largest weight of the past in the running mean, in images (or in
            pixels for `follow` with ``level='pixel'``).

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

    def new_centroids(self) -> RunningClassMeans:
        """Start empty running means with this bank's shape and settings."""
        cap = self.cap if self.level == 'image' else None
        return RunningClassMeans(self.kept()[0], cap)

    def kept(self) -> tuple[Tensor, Tensor]:
        """Anchors used for distances, with the counts they average."""
        return self.anchors, self.counts

    def rows_of(self, labels: Tensor, domains: Sequence[str | None]) -> Tensor:
        """Map each label (N, h, w) to its row of `kept`: the class."""
        return labels

    @torch.no_grad()
    def accumulate(
        self,
        centroids: RunningClassMeans,
        feat: Tensor,
        logits: Tensor,
        labels: Tensor,
        domains: Sequence[str | None] = (),
    ) -> None:
        """Add a batch of source features to the running means.

        Args:
            centroids: The running means, changed in place.
            feat: Features (N, C, h, w).
            logits: Class scores (N, K, h, w).
            labels: Source labels (N, h, w) int64; values outside 0..K-1 count
                for no class.
            domains: The domain of each image.
        """
        centroids.add(*self._class_sums(feat, logits, labels, domains))

    @torch.no_grad()
    def follow(
        self,
        feat: Tensor,
        logits: Tensor,
        labels: Tensor,
        domains: Sequence[str | None] = (),
    ) -> None:
        """Move the anchors towards the class means of a batch of all ranks.

        The past weighs as much as the samples it averages, at most ``cap``, so
        the anchors follow features that change during training.

        Args:
            feat: Features (N, C, h, w).
            logits: Class scores (N, K, h, w).
            labels: Source labels (N, h, w) int64, as for `accumulate`.
            domains: The domain of each image.
        """
        anchors, counts = self.kept()
        sums, pixels, weights = self._class_sums(feat, logits, labels, domains)
        share = weights / pixels.clamp(min=1)
        batch = torch.cat(
            [(sums * share.unsqueeze(2)).sum(0), weights.sum(0)[:, None]], 1
        )
        all_reduce(batch)
        means = RunningClassMeans(anchors, self.cap)
        means.means.copy_(anchors)
        means.weights.copy_(counts)
        weights = batch[None, :, -1]
        means.add(batch[None, :, :-1], weights, weights)
        self.store(means)

    @torch.no_grad()
    def average(self, feat: Tensor, labels: Tensor, momentum: float) -> None:
        """Move the anchors towards each image's class means.

        Images of all ranks are applied one by one. A class with fewer than
        ``min_pixels`` pixels in an image stays; the first mean is copied.

        Args:
            feat: Features (N, C, h, w).
            labels: Labels (N, h, w) int64, true or predicted.
            momentum: Weight of the image's mean.

        Source: ProDA Eq. 8, as released.
        """
        sums, counts = class_feature_sums(feat, labels, len(self.anchors))
        sums, counts = (
            torch.cat(all_gather(part.contiguous())) for part in (sums, counts)
        )
        means = sums / counts.clamp(min=1).unsqueeze(2)
        for mean, used in zip(means, counts >= self.min_pixels, strict=True):
            share = torch.where(self.counts > 0, momentum, 1.0) * used
            self.anchors.lerp_(mean, share[:, None])
            self.counts += used

    def _class_sums(
        self,
        feat: Tensor,
        logits: Tensor,
        labels: Tensor,
        domains: Sequence[str | None],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute sums (N, K, C), pixel counts and weights (N, K)."""
        if self.level == 'image':
            labels = labels.where(is_correct(labels, logits), -1)
        rows = self.rows_of(labels, domains)
        sums, counts = class_feature_sums(feat, rows, len(self.kept()[0]))
        if self.level == 'pixel':
            return sums, counts, counts
        return sums, counts, (counts >= self.min_pixels).to(counts.dtype)

    def store(self, centroids: RunningClassMeans) -> None:
        """Make the running means the anchors; unseen classes have none."""
        self.anchors.copy_(centroids.means)
        self.counts.copy_(centroids.weights)

    def distances(self, feat: Tensor) -> Tensor:
        """Compute the Euclidean distance of each pixel to each anchor.

        One matrix product, ``|f|^2 - 2 f a + |a|^2``, in the precision of the
        anchors regardless of the network's, because the result is compared
        with a threshold.

        Args:
            feat: Features (N, C, h, w).

        Returns:
            Distances (N, K, h, w), infinite to a class without an anchor.
        """
        bands = [squares.sqrt_() for squares in self._squares(feat)]
        return torch.cat(bands, dim=2)

    def nearest(self, feat: Tensor) -> tuple[Tensor, Tensor]:
        """Find each pixel's nearest anchor, as `nearest_anchor` does.

        Works band by band, so the full distance map is never in memory.

        Args:
            feat: Features (N, C, h, w).

        Returns:
            Class of the nearest anchor (N, h, w) int64 and the extra distance
            to the runner-up (N, h, w).
        """
        labels, gaps = [], []
        for squares in self._squares(feat):
            label, nearest, runner_up = smallest_two(squares)
            labels.append(label)
            gaps.append(runner_up.sqrt_() - nearest.sqrt_())
        return torch.cat(labels, dim=1), torch.cat(gaps, dim=1)

    def _squares(self, feat: Tensor) -> Iterator[Tensor]:
        """Yield squared distances (N, K, h, w) band by band."""
        anchors, counts = self.kept()
        norms = anchors.square().sum(1)
        norms = norms.masked_fill(counts == 0, float('inf'))
        weight = -2 * anchors[:, :, None, None]
        for (band,) in split_bands(feat):
            band = band.to(weight.dtype)
            with full_float32(feat.device.type):
                # The product, in the memory order of the features.
                squares = F.conv2d(band, weight, norms)
            own = band.square().sum(1, keepdim=True)
            # Rounding may leave a tiny negative number where f meets a.
            yield squares.add_(own).clamp_(min=0)


def is_correct(labels: Tensor, logits: Tensor) -> Tensor:
    """Find pixels whose label scores highest, (N, h, w) bool.

    Same as comparing with ``argmax``, except for exact ties, in a tenth of the
    time on a CPU (docs/performance.md).

    Args:
        labels: Labels (N, h, w) int64; values outside 0..K-1 give False.
        logits: Class scores (N, K, h, w).
    """
    is_class = (labels >= 0) & (labels < logits.shape[1])
    index = labels.where(is_class, 0).unsqueeze(1)
    own = logits.gather(1, index).squeeze(1)
    return is_class & (own >= logits.amax(1))


def smallest_two(distances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the smallest and the second smallest of K distances.

    Two separate minimum searches are faster than one ``topk``
    (docs/performance.md).

    Args:
        distances: Distances (N, K, ...); the minima are overwritten.

    Returns:
        Class of the nearest (N, ...) int64, its distance and that of the
        runner-up (N, ...).
    """
    nearest, label = distances.min(1, keepdim=True)
    distances.scatter_(1, label, float('inf'))
    return label.squeeze(1), nearest.squeeze(1), distances.amin(1)
