# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""HRDA's two scales of an image, as pure functions.

The *context* is the whole image at half its size, a *detail* a window of it
at full size. Pixels are those of the image at full size.
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
    """A window of an image, pixels; ends are not part of it."""

    top: int
    bottom: int
    left: int
    right: int

    def cut(self, maps: Tensor) -> Tensor:
        """Cut the window out of maps (..., H, W)."""
        return maps[..., self.top : self.bottom, self.left : self.right]

    def resized(self, size: Size, new: Size) -> Box:
        """Find the window in a map of another size, rounded down."""
        return Box(
            *(edge * new[0] // size[0] for edge in self[:2]),
            *(edge * new[1] // size[1] for edge in self[2:]),
        )


class TwoScales(tuple):
    """Feature maps of the context, with those of the details.

    A head of one scale takes it for the feature maps of the context.

    Attributes:
        detail: Feature maps of the windows of all images, the images of a
            window one after another (W N, C, h, w).
        boxes: The windows.
        size: Height and width of the images, a multiple of the divisor.
        seen: Height and width without what was added for that.
        divisor: What edges of windows are multiples of.
    """

    detail: Sequence[Tensor]
    boxes: list[Box]
    size: Size
    seen: Size
    divisor: int


class FusedScores(NamedTuple):
    """Class scores of both scales, as training needs them.

    Attributes:
        fused: (N, K, 2 h, 2 w) of the image.
        context: (N, K, h, w) of the context, less what the attention gives to
            the detail.
        detail: (N, K, h, w) of the window.
        box: The window.
    """

    fused: Tensor
    context: Tensor
    detail: Tensor
    box: Box


def draw_bounds(size: Size, crop: Size, divisor: int) -> Size:
    """Find what the drawn numbers of a box are below, in both axes.

    As released: the last place that would fit is never drawn. Where a crop
    fills an axis there is nothing to draw; the release fails at one axis.
    """
    bounds = [
        max(1, (whole - part + 1) // divisor)
        for whole, part in zip(size, crop, strict=True)
    ]
    return bounds[0], bounds[1]


def place_box(drawn: Iterable[int], crop: Size, divisor: int) -> Box:
    """Place a window of a size at drawn multiples of the divisor."""
    top, left = (divisor * number for number in drawn)
    return Box(top, top + crop[0], left, left + crop[1])


def draw_box(size: Size, crop: Size, divisor: int) -> Box:
    """Draw a window from torch's generator on the CPU, rows first."""
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
    """Paste the scores of windows, averaged where they overlap.

    Args:
        scores: (W N, K, h, w), the images of a window one after another.
        boxes: The windows, in the map that is pasted into.
        size: Height and width of that map.

    Returns:
        Scores (N, K, H, W) of that size, 0 outside of all windows.
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
    """Fuse the scores of both scales by the attention.

    Args:
        context: Class scores (N, K, h, w) of the context.
        detail: Class scores (W N, K, h', w') of the windows.
        attention: Share of the detail, (N, K or 1, h, w) in 0..1, of the
            context.
        scales: Has the windows; outside of them the context counts alone.

    Returns:
        The fused scores (N, K, 2 h, 2 w), and those of the context less the
        share of the detail (N, K, h, w).

    Source: HRDA Eq. 6 to 8, as released.
    """
    small = tuple(context.shape[-2:])
    large = tuple(2 * side for side in small)
    if len(scales.boxes) == 1:
        # Before it is resized: it then reaches a little over the border.
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
