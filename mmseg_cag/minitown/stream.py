# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Video frames of the camera town, with optional domain shifts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from .render import render
from .styles import TownStyle

# Changes an image (H, W, 3) uint8, RGB, given the frame number.
Change = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]

MARGIN = 1.3  # width of a street's image relative to a frame's
SHOT = (12, 29)  # frames in a street


def stream(
    style: TownStyle,
    size: tuple[int, int],
    seed: int,
    change: Change | None = None,
) -> Iterator[np.ndarray]:
    """Yield frames of a camera that pans in one street after another.

    Args:
        style: The town.
        size: Height and width of the frames in pixels.
        seed: Equal seeds give equal frames.
        change: Change applied to each frame.

    Yields:
        RGB uint8 (H, W, 3), endlessly.
    """
    rng = np.random.default_rng(seed)
    wide = tuple(round(MARGIN * side) for side in size)
    room = np.subtract(wide, size)
    number = 0
    while True:
        street, _ = render(style, wide, rng)
        first, last = rng.uniform(0, room, (2, 2))
        frames = rng.integers(SHOT[0], SHOT[1] + 1)
        for t in np.linspace(0, 1, frames):
            y, x = np.rint(first + t * (last - first)).astype(int)
            frame = street[y : y + size[0], x : x + size[1]]
            frame = _expose(frame, rng)
            yield change(frame, number, rng) if change else frame
            number += 1


def _expose(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary the brightness by a hundredth and add sensor noise."""
    light = frame * rng.normal(1, 0.01) + rng.normal(0, 2, frame.shape)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def night(
    image: np.ndarray, number: int, rng: np.random.Generator
) -> np.ndarray:
    """Darken the image, red most, and amplify it as a sensor does."""
    light = (image / 255) ** 1.5 * (0.38, 0.42, 0.55)
    light = 255 * light + rng.normal(0, 6, image.shape)
    return np.clip(light, 0, 255).astype(np.uint8)


def fog(
    image: np.ndarray, number: int, rng: np.random.Generator
) -> np.ndarray:
    """Blend distant pixels into grey, by the flat street's distances."""
    below = np.linspace(0, 1, len(image)) - 0.42  # the horizon
    distance = np.where(below > 0, 0.12 / np.maximum(below, 0.03), 4)
    seen = np.exp(-0.5 * distance)[:, None, None]
    return (image * seen + 205 * (1 - seen)).astype(np.uint8)


def balloon(
    image: np.ndarray, number: int, rng: np.random.Generator
) -> np.ndarray:
    """Insert an object unseen in any town: a striped balloon."""
    rows, columns = image.shape[:2]
    shown = image.copy()
    centre = np.array((0.5 + 0.3 * np.sin(number / 40), 0.55))
    middle = tuple(np.rint(centre * (columns, rows)).astype(int).tolist())
    colours = ((230, 40, 160), (250, 240, 60), (40, 220, 230))
    for i, width in enumerate((0.095, 0.063, 0.032)):
        axes = (round(width * columns), round(0.25 * rows))
        cv2.ellipse(shown, middle, axes, 0, 0, 360, colours[i], -1)
    return shown
