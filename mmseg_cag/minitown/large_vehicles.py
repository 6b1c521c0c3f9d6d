# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw trucks, buses and trams."""

from __future__ import annotations

import numpy as np

from .classes import Label
from .coachwork import draw_tyres, patch, vehicle_paints
from .painter import Painter
from .scene import Thing
from .solids import Decal, Frame, Solid, box, draw_solid, hub, wheel


def draw_truck(painter: Painter, thing: Thing) -> None:
    """Draw a cab with a tall cargo box behind it."""
    frame, paints = Frame(thing), vehicle_paints(painter, thing)
    paints['cargo'] = np.array(
        ((214, 212, 206), (176, 172, 164), (130, 142, 128))[thing.variant % 3]
    )
    paints['stripe'] = paints['cargo'] * 0.78
    cargo = Solid(
        box(-4.1, 2.1, 0.95, 3.4),
        2.5,
        'cargo',
        side=tuple(
            Decal(box(s, s + 0.08, 0.95, 3.4), 'stripe')
            for s in np.arange(-4.0, 2.0, 0.75)
        )
        + (Decal(box(-4.1, 2.1, 0.95, 1.12), 'seam'),),
        strips={
            3: (
                patch(0.02, 0.98, -0.03, 0.03, 'seam'),
                patch(0.03, 0.06, -0.95, 0.95, 'stripe'),
                patch(0.1, 0.95, -0.55, -0.5, 'stripe'),
                patch(0.1, 0.95, 0.5, 0.55, 'stripe'),
            )
        },
    )
    cab = Solid(
        ((2.3, 0.5), (4.1, 0.5), (4.1, 1.4), (3.85, 2.6), (2.3, 2.6)),
        2.35,
        side=(
            Decal(((2.9, 1.5), (3.95, 1.5), (3.8, 2.3), (2.9, 2.3)), 'glass'),
            Decal(box(2.75, 2.8, 0.6, 2.4), 'seam'),
        ),
        strips={
            1: (
                patch(0.05, 0.3, -0.95, -0.6, 'lamp'),
                patch(0.05, 0.3, 0.6, 0.95, 'lamp'),
                patch(0.4, 0.9, -0.7, 0.7, 'tyre'),
                patch(0.05, 0.25, -0.3, 0.3, 'plate'),
            ),
            2: (patch(0.05, 0.8, -0.92, 0.92, 'glass'),),
        },
    )
    chassis = Solid(
        box(-4.0, 4.0, 0.45, 0.95),
        2.1,
        'seam',
        side=tuple(
            part
            for s in (-2.9, -1.7, 3.1)
            for part in (wheel(s, 0.52), hub(s, 0.52))
        ),
        strips={
            3: (
                patch(0.2, 0.6, -0.95, -0.7, 'tail'),
                patch(0.2, 0.6, 0.7, 0.95, 'tail'),
                patch(0.2, 0.6, -0.2, 0.2, 'plate'),
            )
        },
    )
    draw_tyres(painter, frame, paints, Label.TRUCK, 2.0, 3.8)
    parts = (chassis, cab, cargo)
    if np.cos(thing.heading) < 0:  # the cab is nearest to the camera
        parts = (chassis, cargo, cab)
    for part in parts:
        draw_solid(painter, frame, part, paints, Label.TRUCK)


def draw_bus(painter: Painter, thing: Thing) -> None:
    """Draw a long single-deck bus with a row of windows."""
    frame, paints = Frame(thing), vehicle_paints(painter, thing)
    paints['band'] = paints['body'] * 0.55
    windows = tuple(
        Decal(box(s, s + 1.25, 1.45, 2.5), 'glass')
        for s in np.arange(-5.2, 4.6, 1.4)
    )
    doors = tuple(
        Decal(box(s, s + 1.1, 0.45, 2.5), 'door') for s in (-0.4, 4.0)
    )
    body = Solid(
        box(-5.5, 5.5, 0.35, 3.1),
        2.55,
        belt=2.6,
        taper=0.06,
        side=(Decal(box(-5.5, 5.5, 0.35, 0.8), 'band'), *windows, *doors)
        + tuple(
            part for s in (-3.2, 3.0) for part in (wheel(s, 0.5), hub(s, 0.5))
        ),
        strips={
            1: (
                patch(0.3, 0.82, -0.94, 0.94, 'glass'),
                patch(0.85, 0.97, -0.75, 0.75, 'tyre'),
                patch(0.88, 0.95, -0.5, 0.5, 'display'),
                patch(0.08, 0.2, -0.95, -0.65, 'lamp'),
                patch(0.08, 0.2, 0.65, 0.95, 'lamp'),
                patch(0.03, 0.08, -0.3, 0.3, 'plate'),
            ),
            3: (
                patch(0.15, 0.5, -0.85, 0.85, 'glass'),
                patch(0.03, 0.11, -0.5, 0.5, 'tyre'),
                patch(0.6, 0.8, -0.6, 0.6, 'band'),
                patch(0.6, 0.78, -0.97, -0.8, 'tail'),
                patch(0.6, 0.78, 0.8, 0.97, 'tail'),
                patch(0.86, 0.95, -0.3, 0.3, 'plate'),
            ),
        },
    )
    draw_tyres(painter, frame, paints, Label.BUS, 2.2, 5.3)
    draw_solid(painter, frame, body, paints, Label.BUS)


def draw_train(painter: Painter, thing: Thing) -> None:
    """Draw a two-tone tram of several coaches, skirted down to the rails."""
    frame, paints = Frame(thing), vehicle_paints(painter, thing)
    paints['skirt'] = np.array((226, 222, 210.0)) * 0.9
    if thing.variant % 2:
        paints['skirt'] = paints['body'] * 0.45
    coaches = [_coach(centre) for centre in (-8.0, 0.0, 8.0)]
    if np.cos(thing.heading) > 0:
        coaches.reverse()
    for coach in coaches:
        draw_solid(painter, frame, coach, paints, Label.TRAIN)
    _pantograph(painter, frame)


def _coach(centre: float) -> Solid:
    rear, front = centre - 3.85, centre + 3.85
    windows = tuple(
        Decal(box(centre + s, centre + s + 1.5, 1.6, 2.75), 'glass')
        for s in (-3.5, 1.9)
    )
    doors = tuple(
        Decal(box(centre + s, centre + s + 1.3, 0.4, 2.75), 'door')
        for s in (-1.7, 0.3)
    )
    nose = (
        patch(0.42, 0.86, -0.85, 0.85, 'glass'),
        patch(0.9, 0.98, -0.5, 0.5, 'display'),
        patch(0.02, 0.16, -1, 1, 'skirt'),
        patch(0.2, 0.3, -0.85, -0.6, 'lamp'),
        patch(0.2, 0.3, 0.6, 0.85, 'lamp'),
    )
    tail = tuple(
        Decal(tuple((1 - t, c) for t, c in decal.corners), decal.paint)
        for decal in nose
    )
    return Solid(
        box(rear, front, 0.15, 3.45),
        2.6,
        belt=1.4,
        taper=0.16,
        side=(
            Decal(box(rear, front, 0.15, 0.75), 'skirt'),
            Decal(box(rear, front, 3.0, 3.45), 'skirt'),
            *windows,
            *doors,
        ),
        strips={1: nose, 3: tail},
    )


def _pantograph(painter: Painter, frame: Frame) -> None:
    local = np.array(((-1.0, 3.4), (0.2, 4.2), (-0.8, 4.9)))
    points = frame.lift(local[:, 0], local[:, 1], 0.0)
    for start, end in zip(points[:-1], points[1:], strict=True):
        painter.bar(start, end, 0.12, (60, 60, 62), Label.TRAIN)
