# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw sky, road, sidewalk, verge and road markings."""

from __future__ import annotations

import cv2
import numpy as np

from .classes import Label
from .painter import Painter
from .scene import FAR, Scene, Side
from .styles import Colour

HORIZON = 400.0  # metres at which the ground ends


def quad(x0: float, x1: float, z0: float, z1: float) -> np.ndarray:
    """Make a flat rectangle (4, 3) on the ground."""
    return np.array(((x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)))


def draw_sky(painter: Painter) -> None:
    """Fill the canvas with a gradient and clouds."""
    rows, columns = painter.size
    zenith, horizon = np.array(painter.style.paint.sky, np.float32)
    colour, cover = painter.style.paint.clouds
    depth = np.linspace(0, 1 / painter.view.horizon, rows, dtype=np.float32)
    blend = np.clip(depth, 0, 1)[:, None, None]
    sky = zenith * (1 - blend) + horizon * blend
    # Clouds flatten towards the horizon: coarse noise, wider than tall.
    noise = sum(
        weight
        * cv2.resize(
            painter.rng.standard_normal((n, n)).astype(np.float32),
            (columns, rows),
            interpolation=cv2.INTER_CUBIC,
        )
        for n, weight in ((5, 0.6), (11, 0.4), (23, 0.2))
    )
    clouds = np.clip(noise + 2 * cover - 0.8, 0, 1)[..., None]
    sky = sky * (1 - clouds) + np.array(colour, np.float32) * clouds
    painter.pixels[..., :3] = np.clip(sky, 0, 255)
    painter.pixels[..., 3] = Label.SKY


def draw_ground(painter: Painter, scene: Scene) -> None:
    """Draw everything flat, from the terrain to the lane markings."""
    paint = painter.style.paint
    near = 0.9 * painter.view.nearest_ground(painter.size)
    road = painter.pick(paint.road)
    _slab(painter, -300, 300, near, painter.pick(paint.terrain), Label.TERRAIN)
    for plot in scene.plots:
        if plot.kind == 'gap':
            low, high = sorted(
                (plot.side.sign * plot.side.kerb, plot.side.sign * 80)
            )
            z0, z1 = max(plot.near, near), max(plot.far, near)
            painter.fill(quad(low, high, z0, z1), road, Label.ROAD)
    walk = painter.pick(paint.walk)
    for side in scene.sides:
        _sidewalk(painter, scene, side, near, walk, road)
    left, right = scene.sides
    _slab(painter, -left.kerb, right.kerb, near, road, Label.ROAD)
    _repairs(painter, scene, near, road)
    _markings(painter, scene, near)
    if scene.rails is not None:
        _rails(painter, scene.rails, near)
    if scene.crossing is not None:
        _crossing(painter, scene)
    for side in scene.sides:
        _kerb(painter, side, near)
    _texture(painter)


def _slab(
    painter: Painter,
    x0: float,
    x1: float,
    near: float,
    colour: Colour,
    label: Label,
) -> None:
    """Draw a strip along the street, split in depth so that haze can grow."""
    cuts = np.geomspace(near, HORIZON, 10)
    for z0, z1 in zip(cuts[:-1][::-1], cuts[1:][::-1], strict=True):
        # Overlapping a little hides the seams.
        painter.fill(quad(x0, x1, z0, z1 * 1.01), colour, label)


def _sidewalk(
    painter: Painter,
    scene: Scene,
    side: Side,
    near: float,
    colour: Colour,
    road: Colour,
) -> None:
    low, high = sorted((side.sign * side.path, side.sign * side.walk))
    _slab(painter, low, high, near, colour, Label.SIDEWALK)
    joint = np.array(colour) * 0.86
    for z in np.arange(near, 28, 1.2):
        painter.fill(quad(low, high, z, z + 0.06), joint, Label.SIDEWALK)
    for x in np.arange(low + 1, high - 0.3, 1.0):
        painter.fill(quad(x, x + 0.05, near, 40), joint, Label.SIDEWALK)
    for plot in scene.plots:
        if plot.kind == 'gap' and plot.side is side and plot.far > near:
            z0, z1 = max(plot.near, near) + 1, plot.far - 1
            if z1 > z0:
                mouth = sorted((side.sign * side.kerb, side.sign * side.walk))
                painter.fill(quad(*mouth, z0, z1), road, Label.ROAD)


def _kerb(painter: Painter, side: Side, near: float) -> None:
    colour = np.array(painter.style.paint.kerb)
    inner, outer = side.sign * side.kerb, side.sign * (side.kerb + 0.2)
    low, high = sorted((inner, outer))
    gutter = sorted((inner, inner - side.sign * 0.15))
    painter.fill(quad(*gutter, near, FAR), colour * 0.45, Label.ROAD)
    painter.fill(quad(low, high, near, FAR), colour, Label.SIDEWALK)


def _repairs(
    painter: Painter, scene: Scene, near: float, road: Colour
) -> None:
    """Draw patches of newer asphalt and manhole covers."""
    rng = painter.rng
    left, right = -scene.sides[0].kerb, scene.sides[1].kerb
    for _ in range(rng.integers(1, 5)):
        x, z = rng.uniform(left, right - 1), rng.uniform(near, 40)
        patch = quad(x, min(x + rng.uniform(0.8, 3), right), z, z + 4)
        shade = rng.uniform(0.86, 1.1)
        painter.fill(patch, np.array(road) * shade, Label.ROAD)
    for _ in range(rng.integers(0, 3)):
        x, z = rng.uniform(left + 1, right - 1), rng.uniform(near, 25)
        angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        cover = np.stack(
            (x + 0.35 * np.cos(angles), 0 * angles, z + 0.35 * np.sin(angles)),
            -1,
        )
        painter.fill(cover, np.array(road) * 0.7, Label.ROAD)


def _markings(painter: Painter, scene: Scene, near: float) -> None:
    colour = painter.style.paint.marking
    edges = np.arange(scene.lane / 2, scene.sides[0].kerb - 1, scene.lane)
    solid = painter.rng.random() < 0.3
    for x in edges:
        if solid and x == edges[0]:
            painter.fill(quad(-x, 0.14 - x, near, 80), colour, Label.ROAD)
            continue
        for z in np.arange(near - 3 * painter.rng.random(), 70, 6.0):
            start = max(z, near)
            if z + 3 > start:
                dash = quad(-x, 0.14 - x, start, z + 3)
                painter.fill(dash, colour, Label.ROAD)
    right = scene.sides[1].kerb
    if right > scene.lane / 2 + 1:  # the edge of the parking lane
        x = scene.lane / 2
        painter.fill(quad(x, x + 0.1, near, 60), colour, Label.ROAD)


def _crossing(painter: Painter, scene: Scene) -> None:
    colour = painter.style.paint.marking
    left, right = -scene.sides[0].kerb + 0.3, scene.sides[1].kerb - 0.3
    z = scene.crossing
    for x in np.arange(left, right - 0.5, 1.0):
        painter.fill(quad(x, x + 0.5, z, z + 3), colour, Label.ROAD)
    stop = quad(-scene.lane / 2, scene.lane / 2, z - 1.6, z - 1.2)
    painter.fill(stop, colour, Label.ROAD)


def _rails(painter: Painter, x: float, near: float) -> None:
    bed = np.array(painter.style.paint.road[0]) * 0.85
    painter.fill(quad(x - 1.2, x + 1.2, near, FAR), bed, Label.ROAD)
    steel = np.array((168, 166, 164))
    for offset in (-0.75, 0.65):
        rail = quad(x + offset, x + offset + 0.1, near, FAR)
        painter.fill(rail, steel, Label.ROAD)


def _texture(painter: Painter) -> None:
    """Draw asphalt and grass texture in perspective."""
    rows, columns = painter.size
    grain = painter.rng.standard_normal((256, 256)).astype(np.float32)
    stains = cv2.resize(grain[:16, :16], (256, 256))
    tile = 0.6 * cv2.GaussianBlur(grain, (0, 0), 0.8) + 0.5 * stains
    # Ground points -> canvas, 16 tile cells per metre, far ends clamped.
    cells = np.array(((-8, 5), (8, 5), (8, 60), (-8, 60)), np.float32)
    world = np.stack((cells[:, 0], 0 * cells[:, 0], cells[:, 1]), -1)
    target = painter.project(world).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(cells * 16, target)
    noise = cv2.warpPerspective(
        tile, matrix, (columns, rows), borderMode=cv2.BORDER_WRAP
    )
    start = int(np.ceil(painter.view.horizon * rows))
    below = np.arange(rows - start, dtype=np.float32) / (rows - start)
    amount = painter.style.light.texture * np.clip(below * 3, 0, 1)[:, None]
    ground = painter.pixels[start:, :, :3]
    label = painter.pixels[start:, :, 3]
    strength = np.where(label == Label.TERRAIN, 0.22, 0.07) * amount
    shaded = ground * (1 + strength * noise[start:])[..., None]
    ground[:] = np.clip(shaded, 0, 255)


def draw_shadows(painter: Painter, scene: Scene) -> None:
    """Darken the ground in the shadows of objects and houses."""
    light = painter.style.light
    mask = np.zeros(painter.size, np.uint8)
    offset = np.array(scene.shadow)
    for base, height in _casters(scene):
        tips = base + offset * height
        outline = np.concatenate((base, tips))
        outline[:, 1] = np.maximum(outline[:, 1], 2.0)
        points = np.insert(outline, 1, 0, axis=1)
        corners = painter.project(points).astype(np.float32)
        hull = cv2.convexHull(np.clip(corners, -1e4, 1e4)).astype(np.int32)
        cv2.fillConvexPoly(mask, hull, 255)
    start = int(painter.view.horizon * painter.size[0])
    mask[:start] = 0
    shade = mask.astype(np.float32) / 255
    if light.softness:
        shade = cv2.GaussianBlur(
            shade, (0, 0), light.softness * painter.size[0]
        )
    ground = painter.pixels[start:, :, :3]
    ground[:] = ground * (1 - light.shadow * shade[start:, :, None])


def _casters(scene: Scene) -> list[tuple[np.ndarray, float]]:
    """List footprint (4, 2) and height of all that casts a shadow."""
    casters = [(t.footprint, float(t.extent[2])) for t in scene.things]
    for plot in scene.plots:
        if plot.kind == 'building':
            x = plot.side.sign * plot.side.front
            deep = x + plot.side.sign * 8
            base = np.array(
                (
                    (x, plot.near),
                    (x, plot.far),
                    (deep, plot.far),
                    (deep, plot.near),
                )
            )
            casters.append((base, plot.storeys * 3.1))
    return casters
