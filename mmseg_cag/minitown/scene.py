# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Layout of a street as plain data, in metres.

The camera stands at x = 0 in its own lane and looks along z.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .styles import Colour
from .view import View

FAR = 90.0  # the street ends here
LEFT, RIGHT = -1, 1
ALONG, TOWARDS = 0.0, np.pi  # headings: away from the camera, towards it

# Length, width and height in metres of objects that collide or cast shadows.
EXTENTS = {
    'car': (4.4, 1.8, 1.4),
    'truck': (8.2, 2.5, 3.3),
    'bus': (11.0, 2.6, 3.1),
    'train': (24.0, 2.7, 3.5),
    'motorcycle': (2.1, 0.7, 1.3),
    'moto_rider': (2.1, 0.7, 1.7),
    'bicycle': (1.8, 0.5, 1.0),
    'bike_rider': (1.8, 0.5, 1.8),
    'person': (0.5, 0.5, 1.75),
    'round': (4.0, 4.0, 6.0),
    'tall': (2.6, 2.6, 9.0),
    'conifer': (3.0, 3.0, 7.0),
    'palm': (2.4, 2.4, 8.0),
    'bush': (1.6, 1.6, 1.2),
    'lamp': (0.2, 0.2, 7.0),
    'traffic_light': (0.3, 0.3, 4.0),
    'sign': (0.2, 0.2, 2.8),
    'bollard': (0.2, 0.2, 1.0),
    'fence': (3.0, 0.1, 1.4),
    'wall': (3.0, 0.3, 1.3),
    'hedge': (3.0, 0.8, 1.2),
}


@dataclass(frozen=True)
class Side:
    """One side of the street: distances from the camera's lane."""

    sign: int
    kerb: float
    path: float  # inner edge of the sidewalk, behind a strip of grass
    walk: float  # outer edge of the sidewalk
    front: float  # line of the facades


@dataclass(frozen=True)
class Plot:
    """Plot behind the sidewalk, from depth `near` to `far`."""

    side: Side
    near: float
    far: float
    kind: str  # 'building', 'park' or 'gap' (a side street)
    storeys: int
    colour: Colour


@dataclass(frozen=True)
class Thing:
    """An object at (x, z), its length along `heading`."""

    kind: str
    x: float
    z: float
    heading: float = ALONG
    scale: float = 1.0
    colour: Colour = (0, 0, 0)
    variant: int = 0

    @cached_property
    def extent(self) -> np.ndarray:
        """Return length, width and height in metres."""
        return self.scale * np.array(EXTENTS[self.kind])

    @cached_property
    def footprint(self) -> np.ndarray:
        """Return ground corners (4, 2) as (x, z)."""
        length, width, _ = self.extent / 2
        forward = np.array((np.sin(self.heading), np.cos(self.heading)))
        right = np.array((forward[1], -forward[0]))
        signs = np.array(((-1, -1), (1, -1), (1, 1), (-1, 1)))
        sides = np.stack((length * forward, width * right))
        return np.array((self.x, self.z)) + signs @ sides

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """Return the bounding rectangle: lowest x and z, highest x and z."""
        corners = self.footprint
        return (*corners.min(0).tolist(), *corners.max(0).tolist())

    @property
    def near(self) -> float:
        """Return the depth of the nearest point; sets the painting order."""
        return self.bounds[1]

    def collides(self, other: Thing, gap: float = 0.25) -> bool:
        """Check whether the two are closer than a gap in metres."""
        left, low, right, high = self.bounds
        x0, z0, x1, z1 = other.bounds
        return (
            left - gap < x1
            and x0 < right + gap
            and low - gap < z1
            and z0 < high + gap
        )


@dataclass
class Scene:
    """A sampled street."""

    view: View
    sides: tuple[Side, Side]
    lane: float
    plots: list[Plot] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    crossing: float | None = None  # depth of the zebra crossing
    rails: float | None = None  # x of the middle of the tracks
    shadow: tuple[float, float] = (0.0, 0.0)  # ground offset per metre
