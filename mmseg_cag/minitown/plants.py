# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw trees, palms, bushes and hedges."""

from __future__ import annotations

import numpy as np

from .classes import Label
from .painter import Painter
from .scene import Thing

V = Label.VEGETATION


def draw_round(painter: Painter, thing: Thing) -> None:
    """Draw a broad tree with a billowing crown."""
    _trunk(painter, thing, 2.6, 0.38)
    _crown(painter, thing, base=2.0, top=6.6, radius=2.3)


def draw_tall(painter: Painter, thing: Thing) -> None:
    """Draw a poplar: a slender crown that starts low."""
    _trunk(painter, thing, 1.6, 0.34)
    _crown(painter, thing, base=1.3, top=9.5, radius=1.3)


def draw_bush(painter: Painter, thing: Thing) -> None:
    """Draw a low bush."""
    _crown(painter, thing, base=0.0, top=1.3, radius=0.9)


def draw_conifer(painter: Painter, thing: Thing) -> None:
    """Draw a fir: stacked skirts of branches."""
    _trunk(painter, thing, 1.2, 0.3)
    colour = np.array(painter.pick(painter.style.paint.leaves)) * 0.85
    size, rng = thing.scale, painter.rng
    for level in range(5):
        low, high = 0.7 + 1.25 * level, 2.9 + 1.25 * level
        half = 1.7 * (1 - level / 6)
        shift = rng.uniform(-0.1, 0.1)
        skirt = np.array(
            (
                (-half, low + shift, 0),
                (-half / 2, low + 0.15, 0),
                (0, low - 0.1, 0),
                (half / 2, low + 0.15, 0),
                (half, low - shift, 0),
                (0, high, 0),
            )
        )
        place = np.array((thing.x, 0, thing.z))
        light = (0.8 + 0.08 * level) * rng.uniform(0.94, 1.06)
        painter.fill(place + size * skirt, colour, V, light)


def draw_palm(painter: Painter, thing: Thing) -> None:
    """Draw a palm: a bare stem and a head of drooping fronds."""
    rng, size = painter.rng, thing.scale
    lean, top = rng.uniform(-0.5, 0.5), 7.2 * size
    head = np.array((thing.x + lean, top, thing.z))
    bark = painter.style.paint.bark
    painter.bar((thing.x, 0, thing.z), tuple(head), 0.32 * size, bark, V)
    leaves = painter.pick(painter.style.paint.leaves)
    for angle in np.linspace(-0.5, np.pi + 0.5, 11):
        reach = size * rng.uniform(1.7, 2.3)
        out = np.array((np.cos(angle), 0.55 * np.sin(angle), 0)) * reach
        middle = head + 0.55 * out + np.array((0, 0.45 * size, 0))
        tip = head + out - np.array((0, 0.55 * size, 0))
        light = rng.uniform(0.75, 1.2)
        painter.bar(tuple(head), tuple(middle), 0.42 * size, leaves, V, light)
        painter.bar(tuple(middle), tuple(tip), 0.3 * size, leaves, V, light)


def draw_hedge(painter: Painter, thing: Thing) -> None:
    """Draw a segment of a clipped hedge along the street."""
    rng = painter.rng
    for z in np.linspace(1.3, -1.3, 7):
        for y in (0.3, 0.75):
            painter.disc(
                (thing.x + rng.uniform(-0.15, 0.15), y, thing.z + z),
                (0.45, 0.45),
                thing.colour,
                V,
                rng.uniform(0.7, 1.1) * (0.8 + 0.3 * y),
            )


def _trunk(
    painter: Painter, thing: Thing, height: float, width: float
) -> None:
    size, bark = thing.scale, painter.style.paint.bark
    foot, fork = (thing.x, 0, thing.z), (thing.x, height * size, thing.z)
    painter.bar(foot, fork, width * size, bark, V, 0.9)
    lit = (thing.x + 0.1 * width * size, 0, thing.z)
    painter.bar(lit, fork, 0.3 * width * size, bark, V, 1.2)


def _crown(
    painter: Painter, thing: Thing, base: float, top: float, radius: float
) -> None:
    """Draw clusters of leaves, dark inside, lit on the sunny side."""
    rng, size = painter.rng, thing.scale
    leaves = np.array(painter.pick(painter.style.paint.leaves), np.float64)
    leaves *= rng.uniform(0.88, 1.12)
    height = (top - base) / 2
    middle = np.array((thing.x, size * (base + height), thing.z))
    reach = size * np.array((radius, height))
    painter.disc(tuple(middle), tuple(0.78 * reach), leaves, V, 0.62)
    # Far crowns need fewer clusters to look the same.
    seen = painter.pixels_per_metre(thing.z) * radius / painter.size[0]
    count = int(np.clip(300 * seen, 8, 34))
    angle = rng.uniform(0, 2 * np.pi, count)
    share = np.sqrt(rng.uniform(0.05, 1, count))
    offsets = np.stack((np.cos(angle), np.sin(angle)), -1) * share[:, None]
    # Paint from the shaded side to the lit one.
    towards = offsets @ painter.sun[:2]
    sun = 0.35 + 0.65 * painter.style.light.sun
    for i in np.argsort(towards):
        x, y = middle[:2] + offsets[i] * reach * 0.85
        lump = size * radius * rng.uniform(0.16, 0.34)
        light = 0.9 + 0.4 * sun * towards[i] + rng.uniform(-0.12, 0.12)
        painter.disc((x, y, thing.z), (lump, lump * 0.85), leaves, V, light)
