# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw extruded side profiles at any heading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .classes import Label
from .painter import CIRCLE, Painter
from .scene import Thing

Points = np.ndarray | Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Decal:
    """A painted detail: its corners on a face and its paint's name."""

    corners: Points
    paint: str


@dataclass(frozen=True)
class Solid:
    """A profile (s, y), counter-clockwise, extruded over the width.

    Args:
        profile: Corners; s points forward, y up, metres.
        width: Width at the belt line.
        paint: Name of the body's colour.
        belt: Height above which the body narrows.
        taper: Share of the width lost from the belt to the top.
        side: Details in (s, y) on both sides.
        strips: Details in (t along, c across in -1..1) by edge number.
    """

    profile: Points
    width: float
    paint: str = 'body'
    belt: float = 9.0
    taper: float = 0.0
    side: tuple[Decal, ...] = ()
    strips: dict[int, tuple[Decal, ...]] = field(default_factory=dict)


class Frame:
    """Local coordinates (s forward, y up, w right) of an object."""

    def __init__(self, thing: Thing) -> None:
        self.scale = thing.scale
        self.ground = np.array((thing.x, thing.z))
        self.forward = np.array((np.sin(thing.heading), np.cos(thing.heading)))
        self.right = np.array((self.forward[1], -self.forward[0]))

    def lift(
        self, s: np.ndarray, y: np.ndarray, w: np.ndarray | float
    ) -> np.ndarray:
        """Map to world points (..., 3)."""
        s, y, w = np.broadcast_arrays(s, y, w)
        flat = s[..., None] * self.forward + w[..., None] * self.right
        x, z = np.moveaxis(self.ground + self.scale * flat, -1, 0)
        return np.stack((x, self.scale * y, z), -1)

    def eye(self, height: float) -> np.ndarray:
        """Return the camera position in local coordinates (s, y, w)."""
        away = -self.ground / self.scale
        return np.array(
            (away @ self.forward, height / self.scale, away @ self.right)
        )

    def normal(self, s: float, y: float, w: float) -> np.ndarray:
        """Rotate a local direction to the world."""
        flat = s * self.forward + w * self.right
        return np.array((flat[0], y, flat[1]))


def draw_solid(
    painter: Painter,
    frame: Frame,
    solid: Solid,
    paints: dict[str, np.ndarray],
    label: Label,
) -> None:
    """Paint the faces towards the camera, farthest first."""
    profile = np.array(solid.profile, np.float64)
    eye = frame.eye(painter.view.height)
    following = np.roll(profile, -1, axis=0)
    step = following - profile
    outward = np.stack((step[:, 1], -step[:, 0]), -1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    seen = ((eye[:2] - profile) * outward).sum(1) > 0
    depth = frame.lift(*((profile + following) / 2).T, 0.0)[:, 2]
    for i in np.argsort(-depth):
        if seen[i]:
            light = painter.lit(frame.normal(*outward[i], 0.0))
            ends = np.stack((profile[i], following[i]))
            _strip(painter, frame, solid, ends, int(i), paints, label, light)
    side = np.sign(eye[2])
    if abs(eye[2]) > solid.width / 2:
        light = painter.lit(frame.normal(0.0, 0.0, side))
        for corners, paint in [(profile, solid.paint)] + [
            (np.array(d.corners, np.float64), d.paint) for d in solid.side
        ]:
            half = side * _half_width(solid, corners[:, 1])
            points = frame.lift(*corners.T, half)
            painter.fill(points, paints[paint], label, light)


def _half_width(solid: Solid, y: np.ndarray) -> np.ndarray:
    top = max(height for _, height in solid.profile)
    above = np.clip((y - solid.belt) / max(top - solid.belt, 1e-3), 0, 1)
    return solid.width / 2 * (1 - solid.taper * above)


def _strip(
    painter: Painter,
    frame: Frame,
    solid: Solid,
    ends: np.ndarray,
    index: int,
    paints: dict[str, np.ndarray],
    label: Label,
    light: float,
) -> None:
    body = Decal(((0, -1), (0, 1), (1, 1), (1, -1)), solid.paint)
    for decal in (body, *solid.strips.get(index, ())):
        t, c = np.array(decal.corners, np.float64).T
        s, y = (ends[:1] * (1 - t[:, None]) + ends[1:] * t[:, None]).T
        points = frame.lift(s, y, c * _half_width(solid, y))
        glow = 1.0 if decal.paint in ('lamp', 'tail') else light
        painter.fill(points, paints[decal.paint], label, glow)


def box(s0: float, s1: float, y0: float, y1: float) -> Points:
    """Make a rectangle, counter-clockwise: bottom, front, top, rear edges."""
    return ((s0, y0), (s1, y0), (s1, y1), (s0, y1))


def wheel(s: float, radius: float, paint: str = 'tyre') -> Decal:
    """Make a round wheel on the ground."""
    return Decal(CIRCLE[:, :2] * radius + (s, radius), paint)


def hub(s: float, radius: float) -> Decal:
    """Make the rim of a wheel."""
    return Decal(CIRCLE[:, :2] * 0.55 * radius + (s, radius), 'trim')
