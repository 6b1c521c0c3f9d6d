# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Cars, trucks, buses and trams."""

from __future__ import annotations

import numpy as np

from .classes import Label
from .layout import Thing
from .painter import Painter
from .solids import Decal, Frame, Solid, box, draw_solid, hub, wheel

# Edges of a car's profile, by number.
FRONT, HOOD, SCREEN, ROOF, REAR_SCREEN, TRUNK, REAR = range(1, 8)

# (hood end, roof front, roof rear, rear screen base, trunk height, height)
CAR_SHAPES = {
    'sedan': (1.15, 0.35, -1.0, -1.65, 0.98, 1.42),
    'hatch': (1.25, 0.5, -1.55, -2.05, 0.98, 1.48),
    'suv': (1.2, 0.55, -1.85, -2.1, 1.1, 1.72),
    'van': (1.75, 1.0, -2.05, -2.15, 1.1, 1.95),
}


def draw_car(painter: Painter, thing: Thing) -> None:
    """A sedan, hatchback, off-roader or van."""
    shape = tuple(CAR_SHAPES)[thing.variant % len(CAR_SHAPES)]
    frame, paints = Frame(thing), _paints(painter, thing)
    _draw_tyres(painter, frame, paints, Label.CAR, 1.7, 2.0)
    draw_solid(painter, frame, _car_body(shape), paints, Label.CAR)


def _car_body(shape: str) -> Solid:
    hood, roof_front, roof_rear, base, trunk, top = CAR_SHAPES[shape]
    sill, belt = 0.28, trunk - 0.05
    profile = (
        (-2.2, sill),
        (2.2, sill),
        (2.2, 0.72),
        (hood, belt),
        (roof_front, top),
        (roof_rear, top),
        (base, trunk),
        (-2.2, trunk - 0.05),
    )
    pillar = (roof_front + roof_rear) / 2
    low, high = belt + 0.05, top - 0.09
    windows = (
        Decal(
            (
                (pillar + 0.05, low),
                (hood - 0.15, low),
                (roof_front - 0.02, high),
                (pillar + 0.05, high),
            ),
            'glass',
        ),
        Decal(
            (
                (base + 0.15, low),
                (pillar - 0.05, low),
                (pillar - 0.05, high),
                (roof_rear + 0.02, high),
            ),
            'glass',
        ),
    )
    seams = tuple(
        Decal(box(s, s + 0.04, 0.35, belt), 'seam') for s in (-1.1, pillar)
    )
    wheels = tuple(
        part for s in (-1.35, 1.35) for part in (wheel(s, 0.34), hub(s, 0.34))
    )
    return Solid(
        profile,
        1.8,
        belt=belt,
        taper=0.2,
        side=(Decal(box(-2.2, 2.2, sill, 0.4), 'seam'), *windows, *seams)
        + wheels,
        strips={
            FRONT: (
                _patch(0.0, 0.35, -1, 1, 'seam'),
                _patch(0.45, 0.8, -0.45, 0.45, 'tyre'),
                _patch(0.1, 0.4, -0.3, 0.3, 'plate'),
                _patch(0.5, 0.95, -0.97, -0.6, 'lamp'),
                _patch(0.5, 0.95, 0.6, 0.97, 'lamp'),
            ),
            SCREEN: (_patch(0.06, 0.92, -0.9, 0.9, 'glass'),),
            REAR_SCREEN: (_patch(0.08, 0.9, -0.85, 0.85, 'glass'),),
            # The rear edge runs downwards.
            REAR: (
                _patch(0.7, 1.0, -1, 1, 'seam'),
                _patch(0.4, 0.62, -0.3, 0.3, 'plate'),
                _patch(0.08, 0.45, -0.98, -0.66, 'tail'),
                _patch(0.08, 0.45, 0.66, 0.98, 'tail'),
            ),
        },
    )


def _patch(t0: float, t1: float, c0: float, c1: float, paint: str) -> Decal:
    return Decal(((t0, c0), (t0, c1), (t1, c1), (t1, c0)), paint)


def draw_truck(painter: Painter, thing: Thing) -> None:
    """A cab with a tall cargo box behind it."""
    frame, paints = Frame(thing), _paints(painter, thing)
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
                _patch(0.02, 0.98, -0.03, 0.03, 'seam'),
                _patch(0.03, 0.06, -0.95, 0.95, 'stripe'),
                _patch(0.1, 0.95, -0.55, -0.5, 'stripe'),
                _patch(0.1, 0.95, 0.5, 0.55, 'stripe'),
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
                _patch(0.05, 0.3, -0.95, -0.6, 'lamp'),
                _patch(0.05, 0.3, 0.6, 0.95, 'lamp'),
                _patch(0.4, 0.9, -0.7, 0.7, 'tyre'),
                _patch(0.05, 0.25, -0.3, 0.3, 'plate'),
            ),
            2: (_patch(0.05, 0.8, -0.92, 0.92, 'glass'),),
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
                _patch(0.2, 0.6, -0.95, -0.7, 'tail'),
                _patch(0.2, 0.6, 0.7, 0.95, 'tail'),
                _patch(0.2, 0.6, -0.2, 0.2, 'plate'),
            )
        },
    )
    _draw_tyres(painter, frame, paints, Label.TRUCK, 2.0, 3.8)
    parts = (chassis, cab, cargo)
    if np.cos(thing.heading) < 0:  # the cab is next to the camera
        parts = (chassis, cargo, cab)
    for part in parts:
        draw_solid(painter, frame, part, paints, Label.TRUCK)


def draw_bus(painter: Painter, thing: Thing) -> None:
    """A long single-deck bus with a row of windows."""
    frame, paints = Frame(thing), _paints(painter, thing)
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
                _patch(0.3, 0.82, -0.94, 0.94, 'glass'),
                _patch(0.85, 0.97, -0.75, 0.75, 'tyre'),
                _patch(0.88, 0.95, -0.5, 0.5, 'display'),
                _patch(0.08, 0.2, -0.95, -0.65, 'lamp'),
                _patch(0.08, 0.2, 0.65, 0.95, 'lamp'),
                _patch(0.03, 0.08, -0.3, 0.3, 'plate'),
            ),
            3: (
                _patch(0.15, 0.5, -0.85, 0.85, 'glass'),
                _patch(0.03, 0.11, -0.5, 0.5, 'tyre'),
                _patch(0.6, 0.8, -0.6, 0.6, 'band'),
                _patch(0.6, 0.78, -0.97, -0.8, 'tail'),
                _patch(0.6, 0.78, 0.8, 0.97, 'tail'),
                _patch(0.86, 0.95, -0.3, 0.3, 'plate'),
            ),
        },
    )
    _draw_tyres(painter, frame, paints, Label.BUS, 2.2, 5.3)
    draw_solid(painter, frame, body, paints, Label.BUS)


def draw_train(painter: Painter, thing: Thing) -> None:
    """A tram of several coaches, two-tone, skirted down to the rails."""
    frame, paints = Frame(thing), _paints(painter, thing)
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
        _patch(0.42, 0.86, -0.85, 0.85, 'glass'),
        _patch(0.9, 0.98, -0.5, 0.5, 'display'),
        _patch(0.02, 0.16, -1, 1, 'skirt'),
        _patch(0.2, 0.3, -0.85, -0.6, 'lamp'),
        _patch(0.2, 0.3, 0.6, 0.85, 'lamp'),
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


def _draw_tyres(
    painter: Painter,
    frame: Frame,
    paints: dict[str, np.ndarray],
    label: Label,
    width: float,
    reach: float,
) -> None:
    """The tyres seen from the end, below the body."""
    near_end = -reach if frame.forward[1] > 0 else reach
    s = np.full(4, near_end)
    y = np.array((0, 0, 0.5, 0.5))
    # The dark gap below the body belongs to the vehicle.
    half = width / 2
    floor = np.array((-half, half, half, -half))
    painter.fill(frame.lift(s, y * 0.9 + 0.12, floor), (24, 24, 26), label)
    for inner, outer in ((-half, -half * 0.68), (half * 0.68, half)):
        w = np.array((inner, outer, outer, inner))
        painter.fill(frame.lift(s, y, w), paints['tyre'], label)


def _paints(painter: Painter, thing: Thing) -> dict[str, np.ndarray]:
    body = np.array(thing.colour, np.float64)
    glass = np.array(painter.style.paint.glass[0], np.float64)
    return {
        'body': body,
        'seam': body * 0.55,
        'glass': glass * 0.6 + 14,
        'door': glass * 0.45 + body * 0.2,
        'tyre': np.array((30.0, 30, 32)),
        'trim': np.array((168.0, 168, 170)),
        'plate': np.array((228.0, 226, 214)),
        'lamp': np.array((250.0, 246, 226)),
        'tail': np.array((190.0, 28, 30)),
        'display': np.array((240.0, 170, 50)),
    }
