# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""On which side of a star its name meets nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# legend: K classes

# Half sizes of a star and of a letter, and the gap between a star's middle and
# its name, in units of the embedding, which is within 1 of 0.
STAR = np.array((0.04, 0.04))
LETTER = np.array((0.016, 0.03))
GAP = 0.05

SIDES = (
    *((0, 1), (0, -1), (1, 0), (-1, 0)),
    *((1, 1), (-1, 1), (1, -1), (-1, -1)),
)


class Box(NamedTuple):
    """A rectangle.

    Attributes:
        middle: Its middle (2,).
        size: Half its width and height (2,).
    """

    middle: np.ndarray
    size: np.ndarray

    def meets(self, other: Box) -> bool:
        """Whether it overlaps another one."""
        apart = np.abs(self.middle - other.middle)
        return bool((apart < self.size + other.size).all())


def free_sides(
    places: np.ndarray, names: Sequence[str]
) -> list[tuple[int, int]]:
    """Choose the side of each star on which its name meets least.

    Args:
        places: Where the stars are (K, 2).
        names: Their names.

    Returns:
        The sides (right, up), of -1, 0 and 1.
    """
    stars = [Box(place, STAR) for place in places]
    taken: list[Box] = []
    sides = []
    for k, name in enumerate(names):
        size = LETTER * (len(name), 1)
        others = [*stars[:k], *stars[k + 1 :], *taken]
        boxes = [Box(places[k] + (GAP + size) * side, size) for side in SIDES]
        met = [sum(box.meets(other) for other in others) for box in boxes]
        best = int(np.argmin(met))
        sides.append(SIDES[best])
        taken.append(boxes[best])
    return sides
