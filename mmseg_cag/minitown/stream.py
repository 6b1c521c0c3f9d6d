# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Frames that follow each other, and what may happen to a camera's town."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from .render import render
from .styles import TownStyle

# Changes an image (H, W, 3) uint8, RGB, of the frame with this number.
Change = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]

MARGIN = 1.3  # of a street's picture beyond the camera's
SHOT = (12, 29)  # frames in a street


def stream(
    style: TownStyle,
    size: tuple[int, int],
    seed: int,
    change: Change | None = None,
) -> Iterator[np.ndarray]:
    """Draw the frames of a camera that turns in one street after another.

    Args:
        style: The town.
        size: Height and width of the frames in pixels.
        seed: Equal seeds give equal frames.
        change: What happens to each frame.

    Yields:
        RGB uint8 (H, W, 3), without end.
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
    """Vary the light by a hundredth, and add the sensor's noise."""
    light = frame * rng.normal(1, 0.01) + rng.normal(0, 2, frame.shape)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def night(
    image: np.ndarray, number: int, rng: np.random.Generator
) -> np.ndarray:
    """Take the light away, more of the red, and let the sensor amplify."""
    light = (image / 255) ** 1.5 * (0.38, 0.42, 0.55)
    light = 255 * light + rng.normal(0, 6, image.shape)
    return np.clip(light, 0, 255).astype(np.uint8)


def fog(
    image: np.ndarray, number: int, rng: np.random.Generator
) -> np.ndarray:
    """Let grey air hide what is far, by the flat street's distances."""
    below = np.linspace(0, 1, len(image)) - 0.42  # the horizon
    distance = np.where(below > 0, 0.12 / np.maximum(below, 0.03), 4)
    seen = np.exp(-0.5 * distance)[:, None, None]
    return (image * seen + 205 * (1 - seen)).astype(np.uint8)


def balloon(
    image: np.ndarray, number: int, rng: np.random.Generator
) -> np.ndarray:
    """Put a thing there that is in no town: a striped balloon."""
    rows, columns = image.shape[:2]
    shown = image.copy()
    centre = np.array((0.5 + 0.3 * np.sin(number / 40), 0.55))
    middle = tuple(np.rint(centre * (columns, rows)).astype(int).tolist())
    colours = ((230, 40, 160), (250, 240, 60), (40, 220, 230))
    for i, width in enumerate((0.095, 0.063, 0.032)):
        axes = (round(width * columns), round(0.25 * rows))
        cv2.ellipse(shown, middle, axes, 0, 0, 360, colours[i], -1)
    return shown
