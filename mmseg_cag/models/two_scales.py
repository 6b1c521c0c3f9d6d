# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Context and detail crops of HRDA, as pure functions.

The *context* is the whole image at half its size, a *detail* a window at full
size. Pixel coordinates refer to the full-size image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmseg.models.utils import resize
from torch import Tensor

# legend: N images, W windows, K classes, H W image, h w score map of a scale

Size = tuple[int, int]


class Box(NamedTuple):
    """A window of an image in pixels, with exclusive ends."""

    top: int
    bottom: int
    left: int
    right: int

    def cut(self, maps: Tensor) -> Tensor:
        """Crop the window from maps (..., H, W)."""
        return maps[..., self.top : self.bottom, self.left : self.right]

    def resized(self, size: Size, new: Size) -> Box:
        """Scale the window to a map of another size, rounded down."""
        return Box(
            *(edge * new[0] // size[0] for edge in self[:2]),
            *(edge * new[1] // size[1] for edge in self[2:]),
        )


class TwoScales(tuple):
    """Feature maps of context and details.

    A single-scale head sees a tuple of the context's feature maps.

    Attributes:
        detail: Feature maps of the windows (W N, C, h, w), grouped by window.
        boxes: The windows.
        size: Height and width of the images, padded to multiples of the
            divisor.
        seen: Height and width without padding.
        divisor: Divisor of window edges.
    """

    detail: Sequence[Tensor]
    boxes: list[Box]
    size: Size
    seen: Size
    divisor: int


class FusedScores(NamedTuple):
    """Class scores of both scales, for training.

    Attributes:
        fused: (N, K, 2 h, 2 w) of the image.
        context: (N, K, h, w) of the context, masked by the attention.
        detail: (N, K, h, w) of the window.
        box: The window.
    """

    fused: Tensor
    context: Tensor
    detail: Tensor
    box: Box


def draw_bounds(size: Size, crop: Size, divisor: int) -> Size:
    """Compute the exclusive bounds of a box's random position.

    As released, the last position that fits is never drawn. If a crop fills an
    axis, nothing is drawn; the release fails then.
    """
    bounds = [
        max(1, (whole - part + 1) // divisor)
        for whole, part in zip(size, crop, strict=True)
    ]
    return bounds[0], bounds[1]


def place_box(drawn: Iterable[int], crop: Size, divisor: int) -> Box:
    """Place a window at drawn multiples of the divisor."""
    top, left = (divisor * number for number in drawn)
    return Box(top, top + crop[0], left, left + crop[1])


def draw_box(size: Size, crop: Size, divisor: int) -> Box:
    """Draw a window with torch's CPU generator, rows first."""
    drawn = [
        int(torch.randint(bound, (), device='cpu'))
        for bound in draw_bounds(size, crop, divisor)
    ]
    return place_box(drawn, crop, divisor)


def slide_boxes(size: Size, crop: Size, stride: Size) -> list[Box]:
    """List windows that cover an image; the last ones end at its border."""
    starts = [
        [
            min(number * step, whole - part)
            for number in range(math.ceil((whole - part) / step) + 1)
        ]
        for whole, part, step in zip(size, crop, stride, strict=True)
    ]
    return [
        Box(top, top + crop[0], left, left + crop[1])
        for top in starts[0]
        for left in starts[1]
    ]


def paste_windows(scores: Tensor, boxes: list[Box], size: Size) -> Tensor:
    """Merge window scores, averaged where windows overlap.

    Args:
        scores: Scores (W N, K, h, w), grouped by window.
        boxes: The windows, in coordinates of the result.
        size: Height and width of the result.

    Returns:
        Scores (N, K, H, W), 0 outside all windows.
    """
    if len(boxes) == 1:
        return _pad(scores, boxes[0], size)
    parts = scores.unflatten(0, (len(boxes), -1))
    total = scores.new_zeros(*parts.shape[1:3], *size)
    count = scores.new_zeros(size)
    for part, box in zip(parts, boxes, strict=True):
        box.cut(total).add_(part)
        box.cut(count).add_(1)
    return total / count.clamp(min=1)


def _pad(scores: Tensor, box: Box, size: Size) -> Tensor:
    around = (
        box.left,
        size[1] - box.right,
        box.top,
        size[0] - box.bottom,
    )
    return F.pad(scores, around) if any(around) else scores


def fuse_scales(
    context: Tensor, detail: Tensor, attention: Tensor, scales: TwoScales
) -> tuple[Tensor, Tensor]:
    """Fuse the scores of both scales with the attention.

    Args:
        context: Class scores (N, K, h, w) of the context.
        detail: Class scores (W N, K, h', w') of the windows.
        attention: Weight of the detail (N, K or 1, h, w) in 0..1, predicted
            from the context.
        scales: Provides the windows; outside them only the context counts.

    Returns:
        The fused scores (N, K, 2 h, 2 w) and the masked context scores (N, K,
        h, w).

    Source: HRDA Eq. 6 to 8, as released.
    """
    small = tuple(context.shape[-2:])
    large = tuple(2 * side for side in small)
    if len(scales.boxes) == 1:
        # Mask before resizing, so the attention slightly crosses the border.
        box = scales.boxes[0].resized(scales.size, small)
        attention = _pad(box.cut(attention), box, small)
    context = (1 - attention) * context
    pasted = paste_windows(
        detail,
        [box.resized(scales.size, large) for box in scales.boxes],
        large,
    )
    up, wide = (
        resize(part, large, mode='bilinear', align_corners=False)
        for part in (attention, context)
    )
    return up * pasted + wide, context
