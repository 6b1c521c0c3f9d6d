# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw cars."""

from __future__ import annotations

from .classes import Label
from .coachwork import draw_tyres, patch, vehicle_paints
from .painter import Painter
from .scene import Thing
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
    """Draw a sedan, hatchback, off-roader or van."""
    shape = tuple(CAR_SHAPES)[thing.variant % len(CAR_SHAPES)]
    frame, paints = Frame(thing), vehicle_paints(painter, thing)
    draw_tyres(painter, frame, paints, Label.CAR, 1.7, 2.0)
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
                patch(0.0, 0.35, -1, 1, 'seam'),
                patch(0.45, 0.8, -0.45, 0.45, 'tyre'),
                patch(0.1, 0.4, -0.3, 0.3, 'plate'),
                patch(0.5, 0.95, -0.97, -0.6, 'lamp'),
                patch(0.5, 0.95, 0.6, 0.97, 'lamp'),
            ),
            SCREEN: (patch(0.06, 0.92, -0.9, 0.9, 'glass'),),
            REAR_SCREEN: (patch(0.08, 0.9, -0.85, 0.85, 'glass'),),
            # The rear edge runs downwards.
            REAR: (
                patch(0.7, 1.0, -1, 1, 'seam'),
                patch(0.4, 0.62, -0.3, 0.3, 'plate'),
                patch(0.08, 0.45, -0.98, -0.66, 'tail'),
                patch(0.08, 0.45, 0.66, 0.98, 'tail'),
            ),
        },
    )
