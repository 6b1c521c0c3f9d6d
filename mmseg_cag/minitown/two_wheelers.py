# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw bicycles and motorcycles, parked or ridden."""

from __future__ import annotations

import numpy as np

from .classes import Label
from .figure import Figure
from .painter import CIRCLE, Painter
from .people import draw_head, wardrobe
from .scene import Thing
from .solids import Frame

SEEN_FROM_THE_SIDE = 0.5  # sine of the heading above which it is a side view


def draw_bicycle(painter: Painter, thing: Thing) -> None:
    """Draw a parked bicycle."""
    figure, side = _two_wheeler(painter, thing, Label.BICYCLE)
    _bicycle(figure, side, thing.colour)


def draw_motorcycle(painter: Painter, thing: Thing) -> None:
    """Draw a parked motorcycle or scooter."""
    figure, side = _two_wheeler(painter, thing, Label.MOTORCYCLE)
    _motorcycle(figure, side, thing.colour)


def draw_bike_rider(painter: Painter, thing: Thing) -> None:
    """Draw a rider on a bicycle."""
    figure, side = _two_wheeler(painter, thing, Label.BICYCLE)
    _bicycle(figure, side, thing.colour)
    _rider(painter, thing, side, seat=0.95, grip=(0.42, 1.05))


def draw_moto_rider(painter: Painter, thing: Thing) -> None:
    """Draw a rider on a motorcycle, always with a helmet."""
    figure, side = _two_wheeler(painter, thing, Label.MOTORCYCLE)
    _motorcycle(figure, side, thing.colour)
    _rider(painter, thing, side, seat=0.82, grip=(0.5, 1.0), helmet=True)


def _two_wheeler(
    painter: Painter, thing: Thing, label: Label
) -> tuple[Figure, bool]:
    side = abs(np.sin(thing.heading)) > SEEN_FROM_THE_SIDE
    return Figure(painter, Frame(thing), label, facing=not side), side


def _bicycle(figure: Figure, side: bool, colour: tuple) -> None:
    tyre = (34, 34, 36)
    if not side:
        figure.blob((0, 0.34), (0.045, 0.34), tyre)
        figure.limb(((0, 0.4), (0, 0.98)), 0.07, colour)
        figure.limb(((-0.28, 1.0), (0.28, 1.0)), 0.05, tyre)
        figure.limb(((-0.16, 0.3), (0.16, 0.26)), 0.06, tyre)
        figure.blob((0, 0.9), (0.1, 0.06), tyre)
        return
    for s in (-0.52, 0.52):
        _ring(figure, (s, 0.34), 0.34, 0.065, tyre)
    frame = (
        ((-0.52, 0.34), (-0.12, 0.86)),
        ((-0.52, 0.34), (-0.02, 0.3), (-0.16, 0.92)),
        ((-0.02, 0.3), (0.36, 0.84), (-0.12, 0.82)),
        ((0.52, 0.34), (0.36, 0.98)),
    )
    for path in frame:
        figure.limb(path, 0.065, colour)
    figure.limb(((0.36, 0.98), (0.46, 1.04), (0.36, 1.08)), 0.05, tyre)
    figure.limb(((-0.28, 0.95), (-0.04, 0.95)), 0.08, tyre)


def _ring(
    figure: Figure,
    centre: tuple[float, float],
    radius: float,
    width: float,
    colour: tuple,
) -> None:
    path = CIRCLE[:, :2] * radius + centre
    figure.limb(np.concatenate((path, path[:1])), width, colour)


def _motorcycle(figure: Figure, side: bool, colour: tuple) -> None:
    tyre, metal = (30, 30, 32), (120, 122, 126)
    body = np.array(colour)
    if not side:
        figure.blob((0, 0.33), (0.11, 0.33), tyre)
        figure.shape(
            ((-0.2, 0.5), (0.2, 0.5), (0.24, 0.85), (-0.24, 0.85)), body
        )
        figure.limb(((-0.36, 1.02), (0.36, 1.02)), 0.07, tyre)
        figure.blob((0, 0.74), (0.09, 0.07), (214, 60, 46))
        figure.limb(((-0.3, 1.2), (-0.3, 1.04)), 0.05, metal)
        figure.limb(((0.3, 1.2), (0.3, 1.04)), 0.05, metal)
        return
    for s in (-0.68, 0.7):
        figure.blob((s, 0.33), (0.34, 0.33), tyre)
        figure.blob((s, 0.33), (0.17, 0.16), metal)
    figure.shape(
        ((-0.45, 0.3), (0.35, 0.28), (0.4, 0.62), (-0.4, 0.62)), metal, 0.7
    )
    figure.shape(
        ((-0.95, 0.7), (0.2, 0.6), (0.5, 0.78), (0.3, 0.95), (-0.9, 0.86)),
        body,
    )
    figure.limb(((-0.85, 0.88), (-0.1, 0.82)), 0.12, tyre)
    figure.limb(((0.7, 0.33), (0.45, 0.95), (0.38, 1.08)), 0.08, metal)
    figure.blob((0.55, 0.86), (0.1, 0.12), body * 0.9)
    figure.limb(((-0.8, 0.28), (0.1, 0.26)), 0.09, metal)


def _rider(
    painter: Painter,
    thing: Thing,
    side: bool,
    seat: float,
    grip: tuple[float, float],
    helmet: bool = False,
) -> None:
    figure = Figure(painter, Frame(thing), Label.RIDER, facing=not side)
    top, legs, skin, hair = wardrobe(painter)
    cap = None
    if helmet or painter.rng.random() < 0.5:
        cap = painter.pick(painter.style.paint.cars)
    if not side:
        _rider_from_behind(figure, seat, top, legs)
        draw_head(figure, (0, seat + 0.76), skin, hair, cap)
        return
    shoulder = (0.14, seat + 0.5)
    hip = (-0.16, seat + 0.05)
    for foot in ((-0.05, 0.2), (0.12, 0.42)):
        knee = (0.24, seat - 0.25 + foot[1] * 0.3)
        figure.limb((hip, knee, foot), 0.16, legs)
        figure.limb((foot, (foot[0] + 0.14, foot[1])), 0.08, (28, 28, 30))
    figure.limb((hip, shoulder), 0.3, top)
    figure.blob(shoulder, (0.15, 0.13), top)
    elbow = (0.34, seat + 0.2)
    figure.limb((shoulder, elbow, grip), 0.1, np.array(top) * 0.8)
    draw_head(figure, (0.22, seat + 0.74), skin, hair, cap)


def _rider_from_behind(
    figure: Figure, seat: float, top: tuple, legs: np.ndarray
) -> None:
    for side in (-1, 1):
        foot = (side * 0.17, 0.3 if side > 0 else 0.45)
        knee = (side * 0.22, seat * 0.68)
        figure.limb(((side * 0.1, seat), knee, foot), 0.16, legs)
        hand = (side * 0.28, 1.02)
        elbow = (side * 0.34, seat + 0.2)
        arm = ((side * 0.2, seat + 0.5), elbow, hand)
        figure.limb(arm, 0.1, np.array(top) * 0.8)
    figure.shape(
        (
            (-0.19, seat - 0.08),
            (0.19, seat - 0.08),
            (0.24, seat + 0.5),
            (0.12, seat + 0.62),
            (-0.12, seat + 0.62),
            (-0.24, seat + 0.5),
        ),
        top,
    )
