# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Render a random street as an image with trainIds."""

from __future__ import annotations

import cv2
import numpy as np

from . import (
    cars,
    large_vehicles,
    people,
    plants,
    street_furniture,
    two_wheelers,
)
from .camera import expose
from .classes import Label
from .facades import draw_backdrop, draw_house
from .ground import draw_ground, draw_shadows, draw_sky
from .layout import Sampler
from .painter import Painter
from .scene import Scene
from .styles import TownStyle

SUPERSAMPLING = 2

DRAWERS = {
    'car': cars.draw_car,
    'truck': large_vehicles.draw_truck,
    'bus': large_vehicles.draw_bus,
    'train': large_vehicles.draw_train,
    'person': people.draw_person,
    'bicycle': two_wheelers.draw_bicycle,
    'motorcycle': two_wheelers.draw_motorcycle,
    'bike_rider': two_wheelers.draw_bike_rider,
    'moto_rider': two_wheelers.draw_moto_rider,
    'round': plants.draw_round,
    'tall': plants.draw_tall,
    'conifer': plants.draw_conifer,
    'palm': plants.draw_palm,
    'bush': plants.draw_bush,
    'hedge': plants.draw_hedge,
    'lamp': street_furniture.draw_lamp,
    'traffic_light': street_furniture.draw_traffic_light,
    'sign': street_furniture.draw_sign,
    'bollard': street_furniture.draw_bollard,
    'fence': street_furniture.draw_fence,
    'wall': street_furniture.draw_wall,
}


def render(
    style: TownStyle, size: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Render a street: RGB uint8 (H, W, 3) and trainIds uint8 (H, W).

    Args:
        style: The town.
        size: Height and width of the image in pixels.
        rng: Random generator of the street and its details.
    """
    scene = Sampler(style, rng).sample()
    canvas = tuple(SUPERSAMPLING * side for side in size)
    painter = Painter(scene.view, style, canvas, scene.shadow, rng)
    _paint(painter, scene)
    _leaf_texture(painter)
    colour = np.ascontiguousarray(painter.pixels[..., :3])
    label = painter.pixels[..., 3]
    rows, columns = size
    image = cv2.resize(colour, (columns, rows), interpolation=cv2.INTER_AREA)
    middle = SUPERSAMPLING // 2
    label = label[middle::SUPERSAMPLING, middle::SUPERSAMPLING].copy()
    if rng.random() < style.lens.bonnet:
        _bonnet(image, label, rng)
    return expose(image, style.lens, rng), label


def _paint(painter: Painter, scene: Scene) -> None:
    """Paint from the sky to the nearest objects."""
    draw_sky(painter)
    draw_backdrop(painter, scene)
    draw_ground(painter, scene)
    draw_shadows(painter, scene)
    houses = [plot for plot in scene.plots if plot.kind == 'building']
    for plot in sorted(houses, key=lambda plot: -plot.near):
        draw_house(painter, plot)
    for thing in sorted(scene.things, key=lambda thing: -thing.near):
        DRAWERS[thing.kind](painter, thing)


def _leaf_texture(painter: Painter) -> None:
    """Mottle foliage, and walls a little."""
    rows, columns = painter.size
    noise = cv2.resize(
        painter.rng.standard_normal((128, 256)).astype(np.float32),
        (columns, rows),
        interpolation=cv2.INTER_LINEAR,
    )
    strength = np.zeros(256, np.float32)
    strength[Label.VEGETATION] = 0.2
    strength[Label.BUILDING] = strength[Label.WALL] = 0.03
    amount = strength[painter.pixels[..., 3]] * painter.style.light.texture
    colour = painter.pixels[..., :3]
    colour[:] = np.clip(colour * (1 + amount * noise)[..., None], 0, 255)


def _bonnet(
    image: np.ndarray, label: np.ndarray, rng: np.random.Generator
) -> None:
    """Draw the ego car's bonnet at the lower edge, void."""
    rows, columns = label.shape
    x = np.linspace(-1, 1, columns)
    height = rng.uniform(0.02, 0.06) * rows * (1 - 0.7 * x**4)
    depth = rows - 0.5 - np.arange(rows)[:, None]
    mask = depth < height
    gloss = 60 + 70 * (depth / (height + 1))
    image[mask] = np.broadcast_to(gloss, label.shape)[mask][:, None]
    label[mask] = Label.VOID
