# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""People on foot and on two wheels."""

from __future__ import annotations

import numpy as np

from .classes import Label
from .layout import Thing
from .painter import CIRCLE, Painter
from .solids import Frame

SKIN = ((232, 188, 156), (196, 146, 110), (120, 82, 60), (242, 204, 178))
HAIR = ((44, 34, 28), (92, 64, 40), (170, 140, 90), (30, 30, 32))
SEEN_FROM_THE_SIDE = 0.5  # sine of the heading above which it is a side view


class Figure:
    """Draws in the plane of a thing: (s sideways or forward, y up)."""

    def __init__(
        self, painter: Painter, frame: Frame, label: Label, facing: bool
    ) -> None:
        self.painter, self.frame, self.label = painter, frame, label
        self.facing = facing

    def lift(self, flat: np.ndarray | tuple) -> np.ndarray:
        """World points (N, 3) of points (N, 2) of the plane."""
        s, y = np.array(flat, np.float64).T
        if not self.facing:
            return self.frame.lift(s, y, 0.0)
        x, z = self.frame.ground
        scale = self.frame.scale
        return np.stack((x + scale * s, scale * y, np.full_like(s, z)), -1)

    def limb(
        self,
        path: np.ndarray | tuple,
        width: float,
        colour: np.ndarray | tuple,
        light: float = 1.0,
    ) -> None:
        """A bent line with a width in metres."""
        points = self.lift(path)
        width = width * self.frame.scale
        for start, end in zip(points[:-1], points[1:], strict=True):
            self.painter.bar(start, end, width, colour, self.label, light)

    def blob(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        colour: np.ndarray | tuple,
        light: float = 1.0,
    ) -> None:
        """A filled ellipse in the plane."""
        self.shape(CIRCLE[:, :2] * radii + centre, colour, light)

    def shape(
        self,
        corners: np.ndarray | tuple,
        colour: np.ndarray | tuple,
        light: float = 1.0,
    ) -> None:
        """A filled polygon in the plane."""
        self.painter.fill(self.lift(corners), colour, self.label, light)


def draw_person(painter: Painter, thing: Thing) -> None:
    """Somebody standing or walking."""
    figure = Figure(painter, Frame(thing), Label.PERSON, facing=True)
    top, legs, skin, hair = _wardrobe(painter)
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
    _head(figure, (0.0, 1.62), skin, hair)
    if rng.random() < 0.35:
        bag = painter.pick(painter.style.paint.clothes)
        figure.blob((0.24 * lean, 0.86), (0.11, 0.16), bag)


def _wardrobe(painter: Painter) -> tuple:
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


def _head(
    figure: Figure,
    centre: tuple[float, float],
    skin: tuple,
    hair: tuple | None,
    helmet: np.ndarray | tuple | None = None,
) -> None:
    s, y = centre
    figure.blob((s, y), (0.1, 0.13), skin)
    cap, size = (hair, 0.11) if helmet is None else (helmet, 0.14)
    figure.blob((s, y + 0.06), (size, size * 0.85), cap)


def draw_bicycle(painter: Painter, thing: Thing) -> None:
    """A parked bicycle."""
    figure, side = _two_wheeler(painter, thing, Label.BICYCLE)
    _bicycle(figure, side, thing.colour)


def draw_motorcycle(painter: Painter, thing: Thing) -> None:
    """A parked motorcycle or scooter."""
    figure, side = _two_wheeler(painter, thing, Label.MOTORCYCLE)
    _motorcycle(figure, side, thing.colour)


def draw_bike_rider(painter: Painter, thing: Thing) -> None:
    """A rider on a bicycle."""
    figure, side = _two_wheeler(painter, thing, Label.BICYCLE)
    _bicycle(figure, side, thing.colour)
    _rider(painter, thing, side, seat=0.95, grip=(0.42, 1.05))


def draw_moto_rider(painter: Painter, thing: Thing) -> None:
    """A rider on a motorcycle, always with a helmet."""
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
    top, legs, skin, hair = _wardrobe(painter)
    cap = None
    if helmet or painter.rng.random() < 0.5:
        cap = painter.pick(painter.style.paint.cars)
    if not side:
        _rider_from_behind(figure, seat, top, legs)
        _head(figure, (0, seat + 0.76), skin, hair, cap)
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
    _head(figure, (0.22, seat + 0.74), skin, hair, cap)


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
