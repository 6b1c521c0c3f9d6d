# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw lamps, traffic lights, signs, bollards, fences and walls."""

from __future__ import annotations

import numpy as np

from .classes import Label
from .painter import Painter
from .scene import Thing

F, P, W = Label.FENCE, Label.POLE, Label.WALL
LAMPS = ((228, 44, 38), (240, 176, 40), (50, 200, 110))  # red, amber, green
WHITE = (240, 240, 236)
INK = (40, 40, 44)


def draw_lamp(painter: Painter, thing: Thing) -> None:
    """Draw a street lamp with an arm over the road."""
    top = 6.5 + thing.variant % 3 * 0.7
    _post(painter, thing, top, 0.26)
    reach = -np.sign(thing.x) * 1.8
    end = (thing.x + reach, top + 0.35, thing.z)
    painter.bar((thing.x, top - 0.1, thing.z), end, 0.13, thing.colour, P)
    tip = (end[0] + 0.4 * np.sign(reach), end[1], thing.z)
    painter.bar(end, tip, 0.26, (214, 212, 200), P)


def draw_bollard(painter: Painter, thing: Thing) -> None:
    """Draw a knee-high post."""
    _post(painter, thing, 0.9, 0.2)
    band = (thing.x, 0.7, thing.z), (thing.x, 0.82, thing.z)
    painter.bar(*band, 0.21, WHITE, P)


def draw_traffic_light(painter: Painter, thing: Thing) -> None:
    """Draw heads on the post, and often one above the road."""
    over_road = thing.variant % 3 > 0
    top = 5.6 if over_road else 3.6
    _post(painter, thing, top, 0.26)
    lit = thing.variant % 3
    _signal_head(painter, (thing.x, 2.5, thing.z), lit)
    if not over_road:
        return
    reach = -np.sign(thing.x) * min(3.2, abs(thing.x) * 0.7)
    end = (thing.x + reach, top - 0.15, thing.z)
    painter.bar((thing.x, top - 0.15, thing.z), end, 0.16, thing.colour, P)
    _signal_head(painter, (end[0], top - 1.45, thing.z), lit)


def _signal_head(
    painter: Painter, foot: tuple[float, float, float], lit: int
) -> None:
    x, y, z = foot
    housing = painter.style.paint.signals
    shape = np.array(
        (
            (x - 0.3, y, z),
            (x + 0.3, y, z),
            (x + 0.3, y + 1.45, z),
            (x - 0.3, y + 1.45, z),
        )
    )
    painter.fill(shape, housing, Label.LIGHT)
    for i, colour in enumerate(LAMPS):
        bright = colour if i == lit else np.array(colour) * 0.25
        centre = (x, y + 1.18 - 0.46 * i, z)
        painter.disc(centre, (0.2, 0.2), bright, Label.LIGHT)


def draw_sign(painter: Painter, thing: Thing) -> None:
    """Draw a round, triangular, square, octagonal or large board sign."""
    colours = painter.style.paint.signs
    form = ('round', 'triangle', 'square', 'octagon', 'board')
    kind = form[thing.variant % len(form)]
    face = np.array(colours[thing.variant // 7 % len(colours)])
    top = 2.6
    _post(painter, thing, top, 0.18)
    x, z = thing.x, thing.z
    if kind == 'board':
        _board(painter, x, z, face)
        return
    turns = {'round': 16, 'triangle': 3, 'square': 4, 'octagon': 8}[kind]
    rim = np.array(colours[0])
    for radius, colour in _rings(kind, rim, face):
        angles = np.linspace(0, 2 * np.pi, turns, endpoint=False)
        start = np.pi / 2 if kind == 'triangle' else np.pi / turns
        if kind == 'square':
            radius *= 1.15
        points = np.stack(
            (
                x + radius * np.cos(angles + start),
                top + radius * np.sin(angles + start),
                np.full(turns, z),
            ),
            -1,
        )
        painter.fill(points, colour, Label.SIGN)


def _rings(kind: str, rim: np.ndarray, face: np.ndarray) -> list[tuple]:
    """List radius and colour of a sign's layers, largest first."""
    if kind in ('round', 'triangle'):
        return [(0.44, rim), (0.31, WHITE), (0.14, INK)]
    return [(0.44, WHITE), (0.38, face), (0.16, _ink_on(face))]


def _board(painter: Painter, x: float, z: float, face: np.ndarray) -> None:
    side = -np.sign(x)
    low, high = sorted((x - 0.3 * side, x + 1.5 * side))

    def plate(inset: float) -> np.ndarray:
        return np.array(
            (
                (low + inset, 2.4 + inset, z),
                (high - inset, 2.4 + inset, z),
                (high - inset, 3.5 - inset, z),
                (low + inset, 3.5 - inset, z),
            )
        )

    painter.fill(plate(0.0), WHITE, Label.SIGN)
    painter.fill(plate(0.06), face, Label.SIGN)
    for y in (2.75, 3.1):
        line = (low + 0.25, y, z), (high - 0.35, y, z)
        painter.bar(*line, 0.12, _ink_on(face), Label.SIGN)


def _ink_on(face: np.ndarray) -> tuple[int, int, int]:
    """Choose dark ink on a light sign and light ink on a dark one."""
    return INK if face.mean() > 140 else WHITE


def draw_fence(painter: Painter, thing: Thing) -> None:
    """Draw a see-through segment of railings or mesh."""
    x, near, far = thing.x, thing.z - 1.5, thing.z + 1.5
    top = 1.15 + 0.1 * (thing.variant % 4)
    pane = np.array(((x, 0, near), (x, 0, far), (x, top, far), (x, top, near)))
    mesh = thing.variant % 3 == 0
    painter.glaze(pane, thing.colour, 0.45 if mesh else 0.12, F)
    light = painter.lit((-np.sign(x), 0, 0))
    gap = 0.75 if mesh else 0.3
    for z in np.arange(far, near - 0.01, -gap):
        foot, tip = (x, 0, z), (x, top, z)
        painter.bar(foot, tip, 0.07, thing.colour, F, light)
    for y in (0.2, top - 0.04):
        painter.bar((x, y, near), (x, y, far), 0.09, thing.colour, F, light)
    if thing.variant % 2:
        painter.bar((x, 0, near), (x, top + 0.12, near), 0.14, thing.colour, F)


def draw_wall(painter: Painter, thing: Thing) -> None:
    """Draw a segment of a low, solid wall with courses and a coping."""
    x, near, far = thing.x, thing.z - 1.5, thing.z + 1.5
    top = 0.9 + 0.25 * (thing.variant % 4)
    inner = x - np.sign(x) * 0.15
    light = painter.lit((-np.sign(x), 0, 0))
    painter.fill(_upright(inner, near, far, 0, top), thing.colour, W, light)
    shade = np.array(thing.colour) * 0.84
    for y in np.arange(0.25, top - 0.1, 0.3):
        course = _upright(inner, near, far, y, y + 0.05)
        painter.fill(course, shade, W, light)
    coping = _upright(inner, near, far, top - 0.12, top)
    painter.fill(coping, np.array(thing.colour) * 1.14, W, light)
    end = np.array(
        (
            (x - 0.15, 0, near),
            (x + 0.15, 0, near),
            (x + 0.15, top, near),
            (x - 0.15, top, near),
        )
    )
    painter.fill(end, thing.colour, W, painter.lit((0, 0, -1)) * 0.95)


def _upright(
    x: float, near: float, far: float, low: float, high: float
) -> np.ndarray:
    return np.array(
        ((x, low, near), (x, low, far), (x, high, far), (x, high, near))
    )


def _post(painter: Painter, thing: Thing, top: float, width: float) -> None:
    foot, tip = (thing.x, 0, thing.z), (thing.x, top, thing.z)
    painter.bar(foot, tip, width, thing.colour, P)
    lit = thing.x + width * 0.2 * np.sign(painter.sun[0] or 1)
    painter.bar(
        (lit, 0, thing.z),
        (lit, top, thing.z),
        width * 0.35,
        thing.colour,
        P,
        1.3,
    )
