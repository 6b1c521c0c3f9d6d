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
    image-level means over correctly predicted pixels, of at least
    ``min_pixels``, in which no image weighs less than 1 / (``cap`` + 1).

    Args:
        num_classes: Classes K.
        channels: Feature channels C.
        level: What a class mean is taken over, ``pixel`` or ``image``.
        min_pixels: Pixels a class needs in an image (``image`` only).
        cap: Largest weight of the past in the running mean: images, or pixels
            of `follow` with ``level='pixel'``.

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
        """The anchors that distances are to, and what they are means of."""
        return self.anchors, self.counts

    def rows_of(self, labels: Tensor, domains: Sequence[str | None]) -> Tensor:
        """Find the row of `kept` for each label (N, h, w): its class."""
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

        The past weighs as much as what it is a mean of, at most ``cap``; so
        anchors follow features that change as training goes on.

        Args:
            feat: Features (N, C, h, w).
            logits: Class scores (N, K, h, w).
            labels: Source labels (N, h, w) int64, as of `accumulate`.
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
        """Move the anchors by a share towards each image's class means.

        One image after the other, those of all ranks; a class of fewer than
        ``min_pixels`` in an image stays, and the first mean is taken as it is.

        Args:
            feat: Features (N, C, h, w).
            labels: Labels (N, h, w) int64, true or predicted.
            momentum: The share.

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
        """Sums (N, K, C), pixels and weights (N, K) of the class means."""
        if self.level == 'image':
            labels = labels.where(is_correct(labels, logits), -1)
        rows = self.rows_of(labels, domains)
        sums, counts = class_feature_sums(feat, rows, len(self.kept()[0]))
        if self.level == 'pixel':
            return sums, counts, counts
        return sums, counts, (counts >= self.min_pixels).to(counts.dtype)

    def store(self, centroids: RunningClassMeans) -> None:
        """Make the running means the anchors; a class never met keeps none."""
        self.anchors.copy_(centroids.means)
        self.counts.copy_(centroids.weights)

    def distances(self, feat: Tensor) -> Tensor:
        """Compute the Euclidean distance of each pixel to each anchor.

        One matrix product, ``|f|^2 - 2 f a + |a|^2``, in the precision of the
        anchors whatever is set for the network, because a threshold decides
        on it.

        Args:
            feat: Features (N, C, h, w).

        Returns:
            Distances (N, K, h, w), infinite to a class without an anchor.
        """
        bands = [squares.sqrt_() for squares in self._squares(feat)]
        return torch.cat(bands, dim=2)

    def nearest(self, feat: Tensor) -> tuple[Tensor, Tensor]:
        """Find the nearest anchor of each pixel, as `nearest_anchor` does.

        The distances to all anchors are never all there.

        Args:
            feat: Features (N, C, h, w).

        Returns:
            Class of the nearest (N, h, w) int64 and how much farther the
            runner-up is (N, h, w).
        """
        labels, gaps = [], []
        for squares in self._squares(feat):
            label, nearest, runner_up = smallest_two(squares)
            labels.append(label)
            gaps.append(runner_up.sqrt_() - nearest.sqrt_())
        return torch.cat(labels, dim=1), torch.cat(gaps, dim=1)

    def _squares(self, feat: Tensor) -> Iterator[Tensor]:
        """Compute squared distances, bands of (N, K, h, w)."""
        anchors, counts = self.kept()
        norms = anchors.square().sum(1)
        norms = norms.masked_fill(counts == 0, float('inf'))
        weight = -2 * anchors[:, :, None, None]
        for (band,) in split_bands(feat):
            band = band.to(weight.dtype)
            with full_float32(feat.device.type):
                # The product, in the memory order that the features have.
                squares = F.conv2d(band, weight, norms)
            own = band.square().sum(1, keepdim=True)
            # Rounding may leave a tiny negative number where f meets a.
            yield squares.add_(own).clamp_(min=0)


def is_correct(labels: Tensor, logits: Tensor) -> Tensor:
    """Tell where no class scores higher than the label (N, h, w) bool.

    That is where the prediction is the label, but for classes that score
    exactly the same, and takes a tenth of the time of ``argmax`` on a CPU
    (docs/performance.md).

    Args:
        labels: Labels (N, h, w) int64; never predicted outside 0..K-1.
        logits: Class scores (N, K, h, w).
    """
    is_class = (labels >= 0) & (labels < logits.shape[1])
    index = labels.where(is_class, 0).unsqueeze(1)
    own = logits.gather(1, index).squeeze(1)
    return is_class & (own >= logits.amax(1))


def smallest_two(distances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the smallest and the second smallest of K distances.

    Two searches for the smallest take less time than one for both
    (docs/performance.md).

    Args:
        distances: Distances (N, K, ...); the smallest are overwritten.

    Returns:
        Class of the nearest (N, ...) int64, its distance and that of the
        runner-up (N, ...).
    """
    nearest, label = distances.min(1, keepdim=True)
    distances.scatter_(1, label, float('inf'))
    return label.squeeze(1), nearest.squeeze(1), distances.amin(1)
