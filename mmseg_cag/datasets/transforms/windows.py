# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from mmseg_cag.fileio.lazy_png import LazyPng

# Pixels that a window may be extended by to find an edge that float32 holds.
SLACK = 16


class Span(NamedTuple):
    """One axis of a window: pixels [start, stop) of a resized axis.

    Attributes:
        size: Pixels of the axis before resizing.
        resized: Pixels of it after.
        start: First pixel of the window, after resizing.
        stop: One past the last.
    """

    size: int
    resized: int
    start: int
    stop: int

    @property
    def scale(self) -> float:
        """Source pixels per resized pixel."""
        return self.size / self.resized

    def nearest(self) -> np.ndarray:
        """Source pixel of each pixel of the window by Pillow's nearest.

        Pillow resizes the indices themselves, so that ties between two
        source pixels fall as they do in a label that it resizes.

        Returns:
            int32 (stop - start,).
        """
        indices = Image.fromarray(np.arange(self.size, dtype=np.int32)[None])
        resized = indices.resize((self.resized, 1), Image.Resampling.NEAREST)
        return np.asarray(resized)[0, self.start : self.stop]

    def cut(self) -> Cut:
        """Find the part of the source that the window depends on."""
        support = max(self.scale, 1.0)  # of Pillow's bilinear filter
        lowest = max(self.start - SLACK, 0)
        first = max(int(lowest * self.scale - support), 0)
        before = np.arange(self.start, lowest - 1, -1)
        after = np.arange(self.stop, min(self.stop + SLACK, self.resized) + 1)
        begin, end = self._best(before, first), self._best(after, first)
        last = min(int(np.ceil(end * self.scale + support)), self.size)
        return Cut(
            source=slice(first, last),
            box=(begin * self.scale - first, end * self.scale - first),
            count=end - begin,
            window=slice(self.start - begin, self.stop - begin),
        )

    def _best(self, edges: np.ndarray, first: int) -> int:
        """Choose the edge whose place in the source float32 holds best."""
        places = edges * self.scale - first
        return int(edges[np.abs(places - np.float32(places)).argmin()])


class Cut(NamedTuple):
    """One axis of what Pillow is given and gives back.

    Attributes:
        source: Source pixels to be read.
        box: Begin and end of what is resized, in pixels of the source part.
        count: Pixels that it is resized to.
        window: Where in these the window lies.
    """

    source: slice
    box: tuple[float, float]
    count: int
    window: slice


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
