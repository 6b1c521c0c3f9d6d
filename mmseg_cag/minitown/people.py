# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw pedestrians."""

from __future__ import annotations

import numpy as np

from .classes import Label
from .figure import Figure
from .painter import Painter
from .scene import Thing
from .solids import Frame

SKIN = ((232, 188, 156), (196, 146, 110), (120, 82, 60), (242, 204, 178))
HAIR = ((44, 34, 28), (92, 64, 40), (170, 140, 90), (30, 30, 32))


def draw_person(painter: Painter, thing: Thing) -> None:
    """Draw a standing or walking person."""
    figure = Figure(painter, Frame(thing), Label.PERSON, facing=True)
    top, legs, skin, hair = wardrobe(painter)
    rng = painter.rng
    stride = rng.uniform(0.02, 0.3) if rng.random() < 0.7 else 0.1
    lean = rng.choice((-1, 1))
    shade = 1 - 0.25 * painter.style.light.sun
    for foot, light in ((-stride, shade * 0.85), (stride, shade)):
        knee = (foot * 0.55 + 0.04 * lean, 0.48)
        figure.limb(
            ((0.5 * foot, 0.92), knee, (foot, 0.06)), 0.17, legs, light
        )
        figure.limb(
            ((foot - 0.05, 0.04), (foot + 0.1 * lean, 0.04)),
            0.09,
            (30, 28, 28),
        )
    if rng.random() < 0.25:  # a skirt or a long coat
        hem = rng.uniform(0.4, 0.7)
        figure.shape(
            ((-0.24, hem), (0.24, hem), (0.15, 1.0), (-0.15, 1.0)), top
        )
    _torso(figure, top, skin, stride, shade)
    draw_head(figure, (0.0, 1.62), skin, hair)
    if rng.random() < 0.35:
        bag = painter.pick(painter.style.paint.clothes)
        figure.blob((0.24 * lean, 0.86), (0.11, 0.16), bag)


def wardrobe(painter: Painter) -> tuple:
    """Choose colours of top, legs, skin and hair."""
    rng, clothes = painter.rng, painter.style.paint.clothes
    legs = np.array(painter.pick(clothes)) * rng.uniform(0.4, 0.8)
    return painter.pick(clothes), legs, painter.pick(SKIN), painter.pick(HAIR)


def _torso(
    figure: Figure, top: tuple, skin: tuple, swing: float, light: float
) -> None:
    body = (
        (-0.17, 0.86),
        (0.17, 0.86),
        (0.23, 1.36),
        (0.12, 1.48),
        (-0.12, 1.48),
        (-0.23, 1.36),
    )
    figure.shape(body, top, light)
    shaded = np.array(top) * 0.82
    for side in (-1, 1):
        hand = (side * 0.27 + swing * 0.4, 0.86)
        figure.limb(
            ((side * 0.2, 1.38), (side * 0.28, 1.1), hand), 0.1, shaded, light
        )
        figure.blob(hand, (0.05, 0.05), skin)
    figure.limb(((0, 1.44), (0, 1.54)), 0.1, skin)


def draw_head(
    figure: Figure,
    centre: tuple[float, float],
    skin: tuple,
    hair: tuple | None,
    helmet: np.ndarray | tuple | None = None,
) -> None:
    """Draw a head with hair or a helmet."""
    s, y = centre
    figure.blob((s, y), (0.1, 0.13), skin)
    cap, size = (hair, 0.11) if helmet is None else (helmet, 0.14)
    figure.blob((s, y + 0.06), (size, size * 0.85), cap)
