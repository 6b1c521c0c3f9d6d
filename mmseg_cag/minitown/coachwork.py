# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw parts that all vehicles share: paints, patches and tyres."""

from __future__ import annotations

import numpy as np

from .classes import Label
from .painter import Painter
from .scene import Thing
from .solids import Decal, Frame


def patch(t0: float, t1: float, c0: float, c1: float, paint: str) -> Decal:
    """Make a rectangle on a strip: t along it, c across."""
    return Decal(((t0, c0), (t0, c1), (t1, c1), (t1, c0)), paint)


def draw_tyres(
    painter: Painter,
    frame: Frame,
    paints: dict[str, np.ndarray],
    label: Label,
    width: float,
    reach: float,
) -> None:
    """Draw the tyres below the body, seen from front or rear."""
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


def vehicle_paints(painter: Painter, thing: Thing) -> dict[str, np.ndarray]:
    """Choose the colours of a vehicle, by the names that decals use."""
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
