# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmseg_cag.models.anchors.anchor_bank import AnchorBank, is_correct
from mmseg_cag.models.anchors.arithmetic import split_bands
from mmseg_cag.models.anchors.class_means import (
    class_feature_sums,
    is_channels_last,
    spread,
)

from .head_loss import pixel_count

# legend: N images, K classes, C feature channels, h w feature map


@MODELS.register_module()
class AnchorDistanceLoss(nn.Module):
    """Distance of features to the anchor of their class, in one domain.

    ``level='pixel'`` is the paper's: the mean Euclidean distance of labelled
    pixels to their anchor. ``level='centroid'`` is the release's: smooth L1
    between the anchor and each image's class mean over correctly predicted
    pixels; see `_centroid_loss`.

    Args:
        level: ``pixel`` or ``centroid``.
        min_pixels: Pixels a class needs in an image (``centroid`` only).
        scale: Constant factor as released (``centroid`` only).
        limit: A class's loss is divided by 10 until it is at most this
            (``centroid`` only).
        loss_weight: Weight of the loss.
        loss_name: Key of the loss in the log.

    Raises:
        ValueError: ``level`` is unknown.
    """

    def __init__(
        self,
        level: str = 'pixel',
        min_pixels: int = 10,
        scale: float = 10.0,
        limit: float = 5.0,
        loss_weight: float = 0.7,
        loss_name: str = 'loss_anchor',
    ) -> None:
        super().__init__()
        if level not in ('pixel', 'centroid'):
            raise ValueError(
                f'AnchorDistanceLoss: level={level!r}, expected '
                "'pixel' or 'centroid'"
            )
        self.level = level
        self.min_pixels = min_pixels
        self.scale = scale
        self.limit = limit
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self, bank: AnchorBank, feat: Tensor, logits: Tensor, labels: Tensor
    ) -> Tensor:
        """Compute the weighted loss of one domain.

        Args:
            bank: The anchors.
            feat: The student's features (N, C, h, w).
            logits: The student's class scores (N, K, h, w).
            labels: Labels (N, h, w) int64; values outside 0..K-1 and classes
                without an anchor are ignored.

        Returns:
            Scalar; zero with zero gradients where no pixel counts.
        """
        known = F.pad(bank.counts > 0, (0, 1))  # False for ignored labels
        is_class = (labels >= 0) & (labels < len(bank.counts))
        labels = labels.where(known[labels.where(is_class, -1)], -1)
        if self.level == 'pixel':
            loss = self._pixel_loss(bank, feat, labels)
        else:
            loss = self._centroid_loss(bank, feat, logits, labels)
        return self.loss_weight * loss

    def _pixel_loss(
        self, bank: AnchorBank, feat: Tensor, labels: Tensor
    ) -> Tensor:
        """Average |f - a_y| over labelled pixels (poster, distance loss)."""
        distances = OwnDistances.apply(feat, bank.anchors, labels)
        return distances.sum() / pixel_count(labels >= 0, distances)

    def _centroid_loss(
        self, bank: AnchorBank, feat: Tensor, logits: Tensor, labels: Tensor
    ) -> Tensor:
        """Average smooth L1 of class means to anchors (as released)."""
        correct = labels.where(is_correct(labels, logits), -1)
        sums, counts = class_feature_sums(feat, correct, len(bank.anchors))
        used = counts >= self.min_pixels
        means = sums / counts.clamp(min=1).unsqueeze(2)
        # In the backward pass each pixel gets 2 / hw of the mean's gradient,
        # so a class weighs by its area (the release's pooling).
        share = (2 * counts / feat[0, 0].numel()).unsqueeze(2)
        means = means * share + (means * (1 - share)).detach()
        anchors = bank.anchors.to(means.dtype).expand_as(means)
        losses = F.smooth_l1_loss(means, anchors, reduction='none').mean(2)
        losses = (losses / self._excess(losses.detach())).where(used, 0)
        return self.scale * losses.sum() / pixel_count(used, losses)

    def _excess(self, losses: Tensor) -> Tensor:
        """Find the power of ten that reduces each loss to the limit."""
        return 10 ** (losses / self.limit).log10().ceil().clamp(min=0)


class OwnDistances(torch.autograd.Function):
    """Distances (N, h, w) of features (N, C, h, w) to their class anchor.

    Zero where a label is negative. Computed in the precision of the anchors
    (K, C), with a gradient for the features only: the unit vector away from
    the anchor, zero on it. Saves no other tensor of the feature map's size.
    """

    @staticmethod
    def forward(
        ctx: Any, feat: Tensor, anchors: Tensor, labels: Tensor
    ) -> Tensor:
        """Compute the norm of the difference band by band."""
        distances = torch.cat(
            [
                _differences(band, anchors, band_labels)
                .square_()
                .sum(1)
                .sqrt_()
                for band, band_labels in split_bands(feat, labels)
            ],
            dim=1,
        )
        distances = distances.masked_fill_(labels < 0, 0)
        ctx.save_for_backward(feat, anchors, labels, distances)
        return distances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Recompute the differences and scale them by the gradient."""
        feat, anchors, labels, distances = ctx.saved_tensors
        factors = (grad / distances).where(distances > 0, 0)
        result = torch.empty_like(feat)
        for band, band_labels, factor, out in split_bands(
            feat, labels, factors, result
        ):
            differences = _differences(band, anchors, band_labels)
            out.copy_(differences.mul_(factor.unsqueeze(1)))
        return result, None, None


def _differences(feat: Tensor, anchors: Tensor, labels: Tensor) -> Tensor:
    """Subtract each pixel's anchor; zero where there is none."""
    rows = F.pad(anchors, (0, 0, 0, 1)).expand(len(feat), -1, -1)
    labels = labels.where(labels >= 0, len(anchors))
    own = spread(rows, labels, is_channels_last(feat))
    return feat.to(anchors.dtype) - own
