# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .class_means import is_channels_last, spread
from .row_chunks import split_bands

# legend: N images, K classes, C feature channels, h w feature map


class OwnDistances(torch.autograd.Function):
    """Distances (N, h, w) of features (N, C, h, w) to their class's anchor.

    Zero where a label is negative. In the precision of the anchors (K, C),
    and with a gradient for the features alone: the unit vector away from the
    anchor, zero on it. Nothing of the feature map's size is kept but itself.
    """

    @staticmethod
    def forward(
        ctx: Any, feat: Tensor, anchors: Tensor, labels: Tensor
    ) -> Tensor:
        """Subtract and take the norm band by band."""
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
        """Scale the differences, computed anew, to the gradient's length."""
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
    """Subtract its anchor from each pixel, nothing where there is none."""
    rows = F.pad(anchors, (0, 0, 0, 1)).expand(len(feat), -1, -1)
    labels = labels.where(labels >= 0, len(anchors))
    own = spread(rows, labels, is_channels_last(feat))
    return feat.to(anchors.dtype) - own
