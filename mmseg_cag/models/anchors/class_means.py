# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor
from torch.autograd.function import once_differentiable

from .arithmetic import cumulative_sum, full_float32, split_bands

# legend: N images, K classes, C feature channels, h w feature map, P pixels


class RunningClassMeans:
    """Running class means in float64, merged batch by batch, rank by rank.

    Args:
        like: Tensor (K, C) that gives shape and device.
        cap: Largest weight of the past; None for an exact mean.
    """

    def __init__(self, like: Tensor, cap: int | None = None) -> None:
        self.means = torch.zeros_like(like, dtype=torch.float64)
        self.weights = self.means.new_zeros(len(like))
        self.cap = cap

    def add(self, sums: Tensor, pixels: Tensor, weights: Tensor) -> None:
        """Move the means towards the class means of images, one by one.

        The release's rule a <- (a n + m) / (n + 1), n <- min(n + 1, cap)
        with weight w instead of 1 (as released, and exact without cap).
        Unrolled, an image's final share is its initial share times the
        fraction that each later image leaves.

        Args:
            sums: Feature sums (N, K, C).
            pixels: Pixel count of each sum (N, K).
            weights: Weight of each new mean (N, K), zero for classes that are
                not in the image.
        """
        weights = weights.double()
        after = self._capped(self.weights + cumulative_sum(weights.mT).mT)
        before = torch.cat([self.weights[None], after[:-1]])
        share = weights / (before + weights).clamp(min=1)
        left = (1 - share).flip(0).cumprod(0).flip(0)
        share[:-1] *= left[1:]
        share = share / pixels.clamp(min=1)
        self.means *= left[0].unsqueeze(1)
        self.means += (sums * share.unsqueeze(2)).sum(0)
        self.weights = after[-1]

    def reduce(self) -> None:
        """Merge the means of all ranks, so that all hold the same.

        Exact below the cap; above it the ranks' means are averaged.
        """
        sums = (self.means * self.weights.unsqueeze(1)).contiguous()
        # Collectives need contiguous rows; a transposed tensor has none.
        weights = self.weights.contiguous()
        all_reduce(sums)
        all_reduce(weights)
        self.means = sums / weights.clamp(min=1).unsqueeze(1)
        self.weights = self._capped(weights)

    def _capped(self, weights: Tensor) -> Tensor:
        return weights if self.cap is None else weights.clamp(max=self.cap)


# Number of classes from which adding is faster than the product, on a CPU with
# channels-first memory (docs/performance.md).
MATMUL_MAX_CLASSES = 32
# Pixels added in sequence: the sum of a million equal numbers is then off by
# at most 1e-5; without a limit, by 4e-3.
MAX_SUM_LENGTH = 4096


def class_feature_sums(
    feat: Tensor, labels: Tensor, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Sum features by image and class.

    Args:
        feat: Features (N, C, h, w).
        labels: Labels (N, h, w) int64; values outside 0..K-1 are left out.
        num_classes: Classes K.

    Returns:
        Sums (N, K, C) and pixel counts (N, K), both of the features' dtype,
        at least float32.
    """
    is_class = (labels >= 0) & (labels < num_classes)
    labels = labels.where(is_class, num_classes)
    sums = ClassSums.apply(feat, labels, num_classes)
    ones = sums.new_ones(()).expand(labels.flatten(1).shape)
    counts = sums.new_zeros(len(labels), num_classes + 1)
    return sums, counts.scatter_add_(1, labels.flatten(1), ones)[:, :-1]


class ClassSums(torch.autograd.Function):
    """Differentiable sums (N, K, C) of features (N, C, h, w) by label.

    Labels (N, h, w) are in 0..K; label K is dropped. Each pixel receives its
    class's gradient. Neither pass copies the feature map or keeps anything of
    its size.
    """

    @staticmethod
    def forward(
        ctx: Any, feat: Tensor, labels: Tensor, num_classes: int
    ) -> Tensor:
        """Accumulate the sums of bands, at least in float32."""
        ctx.save_for_backward(labels)
        ctx.form = feat.dtype, is_channels_last(feat)
        dtype = torch.promote_types(feat.dtype, torch.float32)
        sums = feat.new_zeros(
            len(feat), num_classes, feat.shape[1], dtype=dtype
        )
        add_up = _add_up if _adding_is_faster(feat, num_classes) else _multiply
        for band, band_labels in split_bands(
            feat, labels, most=MAX_SUM_LENGTH
        ):
            pixels = band.flatten(2).to(dtype)
            sums += add_up(pixels, band_labels.flatten(1), num_classes)
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Give each pixel the gradient of its class."""
        (labels,) = ctx.saved_tensors
        dtype, channels_last = ctx.form
        rows = F.pad(grad.to(dtype), (0, 0, 0, 1))
        return spread(rows, labels, channels_last), None, None


def _adding_is_faster(feat: Tensor, num_classes: int) -> bool:
    """Whether to add pixel by pixel, at a cost independent of K.

    On a GPU the additions are atomic: slow for few classes, and unordered.
    """
    many = is_channels_last(feat) or num_classes > MATMUL_MAX_CLASSES
    return feat.is_cpu and many


def _add_up(pixels: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Sum pixels (N, C, P) by label (N, P), bound by memory reads."""
    n, c, _ = pixels.shape
    if is_channels_last(pixels):
        rows = pixels.mT.reshape(-1, c)
        sums = rows.new_zeros(n * (num_classes + 1), c)
        sums.index_add_(0, _global_labels(labels, num_classes), rows)
        return sums.view(n, -1, c)[:, :-1]
    sums = pixels.new_zeros(n, c, num_classes + 1)
    sums.scatter_add_(2, labels.unsqueeze(1).expand_as(pixels), pixels)
    return sums[:, :, :-1].mT


def _multiply(pixels: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Sum pixels (N, C, P) by label (N, P) with a one-hot product."""
    n, _, p = pixels.shape
    one_hot = pixels.new_zeros(n, num_classes + 1, p)
    one_hot.scatter_(1, labels.unsqueeze(1), 1)
    with full_float32(pixels.device.type):
        return one_hot[:, :-1] @ pixels.mT


def spread(rows: Tensor, labels: Tensor, channels_last: bool) -> Tensor:
    """Gather each pixel's row by its label.

    Args:
        rows: Rows per image and label (N, K, C).
        labels: Labels (N, h, w) int64 of 0..K-1.
        channels_last: Memory order of the result.

    Returns:
        Map (N, C, h, w).
    """
    n, k, c = rows.shape
    if channels_last:
        index = _global_labels(labels.flatten(1), k - 1)
        pixels = rows.flatten(0, 1).index_select(0, index)
        return pixels.view(*labels.shape, c).permute(0, 3, 1, 2)
    index = labels.flatten(1).unsqueeze(1).expand(-1, c, -1)
    return rows.mT.contiguous().gather(2, index).view(n, c, *labels.shape[1:])


def is_channels_last(pixels: Tensor) -> bool:
    """Whether the channels (dimension 1) are contiguous in memory."""
    return pixels.stride(1) == 1


def _global_labels(labels: Tensor, num_classes: int) -> Tensor:
    first = torch.arange(len(labels), device=labels.device).unsqueeze(1)
    return (labels + first * (num_classes + 1)).flatten()


def k_means(
    points: Tensor, count: int, generator: torch.Generator, steps: int = 20
) -> Tensor:
    """Cluster points by k-means with k-means++ initialisation.

    Args:
        points: Points (P, C).
        count: Number of centres.
        generator: CPU generator that draws the first centres.
        steps: Updates of the centres.

    Returns:
        Centres (M, C); fewer than ``count`` if there are fewer points.

    Source: k-means++, Arthur and Vassilvitskii, SODA 2007.
    """
    if count == 1:
        return points.mean(0, keepdim=True)
    if len(points) <= count:
        return points
    first = torch.randint(len(points), (1,), generator=generator)
    centres = points[first]
    while len(centres) < count:
        far = torch.cdist(points, centres).amin(1).square().cpu()
        if not far.any():
            return centres
        drawn = torch.multinomial(far, 1, generator=generator)
        centres = torch.cat([centres, points[drawn]])
    for _ in range(steps):
        own = torch.cdist(points, centres).argmin(1)
        sums = torch.zeros_like(centres).index_add_(0, own, points)
        sizes = own.bincount(minlength=count).unsqueeze(1)
        # A centre without points stays.
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    return centres


def whitening(
    feat: Tensor, labels: Tensor, num_classes: int, shrinkage: float = 0.01
) -> Tensor:
    """Compute the matrix that whitens the within-class covariance.

    The nearest class mean is then that of linear discriminant analysis (LDA):
    the Euclidean distance becomes the Mahalanobis distance.

    Args:
        feat: Features (P, C).
        labels: Their classes (P,) int64.
        num_classes: Classes K.
        shrinkage: Share of the mean variance added to all directions, so that
            those without variance are not amplified.

    Returns:
        Matrix (C, C) that row features are multiplied by.
    """
    feat = feat.double()
    sums = feat.new_zeros(num_classes, feat.shape[1])
    sums.index_add_(0, labels, feat)
    sizes = labels.bincount(minlength=num_classes).clamp(min=1)
    rest = feat - (sums / sizes.unsqueeze(1))[labels]
    spread = rest.T @ rest / len(rest)
    spread.diagonal().add_(shrinkage * spread.diagonal().mean())
    values, vectors = torch.linalg.eigh(spread)
    return ((vectors / values.sqrt()) @ vectors.T).float()
