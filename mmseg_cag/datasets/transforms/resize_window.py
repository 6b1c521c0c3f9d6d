# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
from PIL import Image

from .lazy_png import LazyPng
from .span import Span

# legend: H W source, h w window


def resize_window(
    image: np.ndarray | LazyPng, rows: Span, columns: Span
) -> np.ndarray:
    """Resize as Pillow does, bilinear, and compute the window alone.

    Equals the window of the resized frame but for rounding: Pillow takes the
    edges of a part as float32, and a weight that is off by 1e-7 can turn a
    half up or down. The window is therefore extended, by a few pixels that
    are cut off again, to edges that float32 holds well.

    Args:
        image: uint8 (H, W, 3); only the source rows and columns of the
            window are read.
        rows: The window's rows.
        columns: The window's columns.

    Returns:
        uint8 (h, w, 3).
    """
    down, across = rows.cut(), columns.cut()
    part = _crop(image, down.source, across.source)
    # Rows first, always: Pillow by itself lets the sizes decide the order,
    # and the two orders round differently.
    for size, box in (
        (
            (across.count, part.height),
            (across.box[0], 0, across.box[1], part.height),
        ),
        (
            (across.count, down.count),
            (0, down.box[0], across.count, down.box[1]),
        ),
    ):
        part = part.resize(size, Image.Resampling.BILINEAR, box)
    return np.asarray(part)[down.window, across.window]


def _crop(
    image: np.ndarray | LazyPng, rows: slice, columns: slice
) -> Image.Image:
    if isinstance(image, LazyPng):
        return image.crop(rows, columns)
    return Image.fromarray(image[rows, columns])


def nearest_window(
    labels: np.ndarray, rows: Span, columns: Span
) -> np.ndarray:
    """Resize as Pillow does, nearest, and compute the window alone.

    Args:
        labels: Any type (H, W).
        rows: The window's rows.
        columns: The window's columns.

    Returns:
        The same type (h, w), equal to the window of the resized map.
    """
    return labels[rows.nearest()].take(columns.nearest(), axis=1)
