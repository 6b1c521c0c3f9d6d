# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw the source town with another seed and plant one gap in it.

Towns are drawn in Cityscapes' layout; only the measurement reads the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np

from mmseg_cag.minitown import render, writer
from mmseg_cag.minitown.layout import Sampler
from mmseg_cag.minitown.scene import Scene
from mmseg_cag.minitown.styles import GAME

# legend: H W image

GAPS = ('none', 'prior', 'removed', 'scale', 'cast', 'brightness')
IMAGES = 64
SIZE = (128, 256)
# Objects in a seventh to a fifth of the scenes, so that five times as many are
# possible.
RARE = ('train', 'truck', 'bus')
# Classes that can be left out: the kinds of objects they consist of.
REMOVED = {
    'car': ('car',),
    'vegetation': ('round', 'tall', 'conifer', 'palm', 'bush', 'hedge'),
    'person': ('person',),
    'pole': ('lamp', 'bollard'),
}
Image = tuple[np.ndarray, np.ndarray]


def plant(root: Path, gap: str, seed: int, images: int = IMAGES) -> str:
    """Draw a town with one gap, once.

    Args:
        root: Folder of the town, in Cityscapes' layout.
        gap: One of `GAPS`.
        seed: Seed of the town and the gap.
        images: Number of images.

    Returns:
        The planted gap, in words.
    """
    rng = np.random.default_rng((seed, GAPS.index(gap)))
    pictures, told = _pictures(gap, seed, images, rng)
    for index, (image, label) in enumerate(pictures):
        paths = writer.cityscapes_paths(root, 'val', index)
        writer.save_image(paths[0], image)
        writer.save_cityscapes_label(paths[1], label)
    return told


def _pictures(
    gap: str, seed: int, images: int, rng: np.random.Generator
) -> tuple[Iterable[Image], str]:
    if gap == 'prior':
        kind = RARE[rng.integers(len(RARE))]
        return _draw(seed, images, _more_of(kind, rng)), f'{kind} x 5'
    if gap == 'removed':
        name = [*REMOVED][rng.integers(len(REMOVED))]
        return _draw(seed, images, lambda _: True, REMOVED[name]), f'no {name}'
    drawn = _town(seed, images)
    if gap == 'scale':
        factor = (0.5, 2.0)[rng.integers(2)]
        return (_scaled(*one, factor) for one in drawn), f'x {factor}'
    if gap == 'cast':
        gains = np.exp(rng.uniform(0.15, 0.3) * rng.permutation([1, 0, -1]))
        return (
            _gained(*one, gains) for one in drawn
        ), f'gains {gains.round(2)}'
    if gap == 'brightness':
        gain = (0.5, 1.6)[rng.integers(2)]
        return (_gained(*one, gain) for one in drawn), f'gain {gain}'
    return drawn, 'none'


@lru_cache(maxsize=1)
def _town(seed: int, images: int) -> list[Image]:
    return list(_draw(seed, images, lambda _: True))


def _draw(
    seed: int,
    images: int,
    takes: Callable[[Scene], bool],
    without: tuple[str, ...] = (),
) -> Iterator[Image]:
    """Draw the selected scenes, without some kinds of objects."""

    class Without(Sampler):
        def sample(self) -> Scene:
            scene = super().sample()
            scene.things[:] = [
                thing for thing in scene.things if thing.kind not in without
            ]
            return scene

    found = number = 0
    while found < images:
        key = (seed, 1000, number)
        number += 1
        if takes(Sampler(GAME, np.random.default_rng(key)).sample()):
            found += 1
            with patch.object(render, 'Sampler', Without):
                yield render.render(GAME, SIZE, np.random.default_rng(key))


def _more_of(kind: str, rng: np.random.Generator) -> Callable[[Scene], bool]:
    """Select scenes so that a kind of object is in five times as many."""
    scenes = [
        Sampler(GAME, np.random.default_rng((7, i))).sample()
        for i in range(200)
    ]
    share = np.mean([_has(scene, kind) for scene in scenes])
    wanted = min(5 * share, 0.95)
    # Skip scenes without it until the others make up the `wanted` share.
    rest = share * (1 - wanted) / (wanted * (1 - share))
    return lambda scene: _has(scene, kind) or rng.random() < rest


def _has(scene: Scene, kind: str) -> bool:
    return any(thing.kind == kind for thing in scene.things)


def _scaled(image: np.ndarray, label: np.ndarray, factor: float) -> Image:
    """Enlarge the middle of an image to its size, or shrink the whole."""
    height, width = label.shape
    if factor > 1:
        rows, columns = round(height / factor), round(width / factor)
        top, left = (height - rows) // 2, (width - columns) // 2
        image = image[top : top + rows, left : left + columns]
        label = label[top : top + rows, left : left + columns]
        size = width, height
    else:
        size = round(width * factor), round(height * factor)
    shrinks = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return (
        cv2.resize(image, size, interpolation=shrinks),
        cv2.resize(label, size, interpolation=cv2.INTER_NEAREST),
    )


def _gained(
    image: np.ndarray, label: np.ndarray, gain: float | np.ndarray
) -> Image:
    return np.clip(image * gain, 0, 255).round().astype(np.uint8), label
