# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

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
