# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw houses along the street and the skyline at its end."""

from __future__ import annotations

import numpy as np

from .classes import Label
from .painter import Painter
from .scene import FAR, Plot, Scene

STOREY = 3.1  # metres
DEPTH = 9.0  # of a house
B = Label.BUILDING


class _Face:
    """Wall of a house: maps (along, up) in metres to the world."""

    def __init__(
        self, origin: tuple[float, float], step: tuple[float, float]
    ) -> None:
        self.origin, self.step = np.array(origin), np.array(step)

    def lift(self, flat: np.ndarray) -> np.ndarray:
        """Map wall points (..., 2) to world points (..., 3)."""
        ground = self.origin + flat[..., :1] * self.step
        return np.stack((ground[..., 0], flat[..., 1], ground[..., 1]), -1)


def _boxes(
    lows: np.ndarray, bottoms: np.ndarray, width: float, height: float
) -> np.ndarray:
    """Make rectangles (M, 4, 2) for each pair of left edge and bottom."""
    a, b = (axis.ravel() for axis in np.meshgrid(lows, bottoms))
    corners = ((0, 0), (width, 0), (width, height), (0, height))
    return np.stack(
        [np.stack((a + da, b + db), -1) for da, db in corners], axis=1
    )


def draw_backdrop(painter: Painter, scene: Scene) -> None:
    """Draw hazy trees and houses behind the end of the street."""
    rng, paint = painter.rng, painter.style.paint
    for z in (1.8 * FAR, 1.15 * FAR):
        x = -1.6 * z
        while x < 1.6 * z:
            width = rng.uniform(10, 26)
            if rng.random() < 0.35:
                _treeline(painter, x, width, z)
            else:
                top = rng.integers(*painter.style.streets.storeys) * STOREY
                face = _Face((x, z), (1, 0))
                colour = painter.pick(paint.facades)
                _wall(painter, face, width, top, colour, 0.9, plain=True)
            x += width


def _treeline(painter: Painter, x: float, width: float, z: float) -> None:
    rng = painter.rng
    colour = painter.pick(painter.style.paint.leaves)
    for offset in np.arange(0, width, 3.0):
        centre = (x + offset, rng.uniform(2, 4), z)
        radius = rng.uniform(2.5, 4.5)
        painter.disc(
            centre,
            (radius, radius + 1),
            colour,
            Label.VEGETATION,
            rng.uniform(0.75, 1.05),
        )


def draw_house(painter: Painter, plot: Plot) -> None:
    """Draw a house: the wall facing the camera, the street front, the roof."""
    rng = painter.rng
    sign, x = plot.side.sign, plot.side.sign * plot.side.front
    near, far = max(plot.near, 3.0), plot.far
    if far - near < 1:
        return
    top = plot.storeys * STOREY + rng.uniform(0.4, 1.2)
    end = _Face((x, near), (sign, 0))
    _wall(painter, end, DEPTH, top, plot.colour, painter.lit((0, 0, -1)), True)
    if plot.storeys <= 4 and rng.random() < 0.8:
        _roof(painter, x, sign, near, far, top)
    front = _Face((x, near), (0, 1))
    light = painter.lit((-sign, 0, 0))
    _wall(painter, front, far - near, top, plot.colour, light, False)
    _ground_floor(painter, front, far - near, plot, light)


def _roof(
    painter: Painter, x: float, sign: int, near: float, far: float, top: float
) -> None:
    colour = painter.pick(painter.style.paint.roofs)
    ridge, middle = top + 3.2, x + sign * DEPTH / 2
    gable = np.array(
        (
            (x, top, near),
            (x + sign * DEPTH, top, near),
            (middle, ridge, near),
        )
    )
    painter.fill(gable, np.array(colour) * 0.75, B, painter.lit((0, 0, -1)))
    slope = np.array(
        (
            (x - sign * 0.4, top - 0.2, near),
            (x - sign * 0.4, top - 0.2, far),
            (middle, ridge, far),
            (middle, ridge, near),
        )
    )
    painter.fill(slope, colour, B, painter.lit((-0.6 * sign, 0.8, 0)))


def _wall(
    painter: Painter,
    face: _Face,
    width: float,
    top: float,
    colour: tuple,
    light: float,
    plain: bool,
) -> None:
    """Draw a wall with its windows; plain walls have fewer details."""
    rng, paint = painter.rng, painter.style.paint
    body = np.array(colour) * rng.uniform(0.92, 1.06)
    outline = np.array(((0, 0), (width, 0), (width, top), (0, top)))
    painter.fill(face.lift(outline), body, B, light)
    storeys = np.arange(STOREY + 0.9, top - 1.5, STOREY)
    bay = rng.uniform(2.0, 3.2)
    pane = min(bay * rng.uniform(0.4, 0.75), 1.8)
    bays = np.arange((bay - pane) / 2 + width % bay / 2, width - pane, bay)
    if not len(bays) or not len(storeys):
        return
    if not plain:
        _courses(painter, face, width, top, body, light)
        frames = _boxes(bays - 0.15, storeys - 0.15, pane + 0.3, 1.85)
        painter.fill(face.lift(frames), body * 1.18, B, light)
    panes = _boxes(bays, storeys, pane, 1.55)
    glass = painter.pick(paint.glass)
    painter.fill(face.lift(panes), glass, B)
    bright = panes[rng.random(len(panes)) < 0.3]
    if len(bright):
        curtain = np.array(glass) * 0.5 + np.array(paint.sky[1]) * 0.5
        bright = bright.copy()
        bright[:, :2, 1] += 1.55 * rng.uniform(0.1, 0.6)
        painter.fill(face.lift(bright), curtain, B)
    if not plain:
        bars = _boxes(bays + pane / 2 - 0.04, storeys, 0.08, 1.55)
        painter.fill(face.lift(bars), body * 1.1, B, light)


def _courses(
    painter: Painter,
    face: _Face,
    width: float,
    top: float,
    body: np.ndarray,
    light: float,
) -> None:
    """Draw joints between storeys and the cornice."""
    zero = np.zeros(1)
    bands = _boxes(zero, np.arange(STOREY, top - 1, STOREY), width, 0.16)
    painter.fill(face.lift(bands), body * 0.82, B, light)
    if painter.rng.random() < 0.4:
        rows = np.arange(0.3, top - 0.5, 0.5)
        painter.fill(
            face.lift(_boxes(zero, rows, width, 0.07)), body * 0.9, B, light
        )
    cornice = _boxes(zero, np.array((top - 0.45,)), width, 0.45)
    painter.fill(face.lift(cornice), body * 1.15, B, light)


def _ground_floor(
    painter: Painter, face: _Face, width: float, plot: Plot, light: float
) -> None:
    """Draw doors, or shop windows with awnings."""
    rng, paint = painter.rng, painter.style.paint
    body = np.array(plot.colour)
    plinth = _boxes(np.zeros(1), np.zeros(1), width, 0.5)
    painter.fill(face.lift(plinth), body * 0.6, B, light)
    if rng.random() < 0.5:
        shop = _boxes(np.arange(0.5, width - 3, 3.6), np.array((0.5,)), 3, 2)
        if not len(shop):
            return
        painter.fill(face.lift(shop), np.array(paint.glass[0]) * 0.7, B)
        shelf = shop.copy()
        shelf[:, 2:, 1] = 1.1
        painter.fill(face.lift(shelf), painter.pick(paint.clothes), B, 0.8)
        awning = shop.copy()
        awning[:, :2, 1], awning[:, 2:, 1] = 2.4, 3.0
        painter.fill(face.lift(awning), painter.pick(paint.cars), B, light)
        return
    doors = np.arange(rng.uniform(0.5, 2), width - 1.2, 5.5)
    panes = np.arange(2.2, width - 1.4, 2.75)
    if len(panes):
        glass = _boxes(panes, np.array((1.0,)), 1.1, 1.5)
        painter.fill(face.lift(glass), painter.pick(paint.glass), B)
    if len(doors):
        door = _boxes(doors, np.zeros(1), 1.1, 2.3)
        painter.fill(face.lift(door), np.array(paint.bark) * 0.9, B, light)
