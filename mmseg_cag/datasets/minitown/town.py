# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draws the three towns into a folder, once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from . import writer
from .classes import CLASSES
from .render import render
from .styles import CAMERA, GAME, RENDERED, TownStyle

VERSION = 1  # rises whenever the same arguments give other pixels
MANIFEST = 'minitown.json'
CLAIM = 'minitown.unfinished.json'  # stands while the drawing is under way
FOLDERS = ('gta', 'cityscapes', 'synthia')

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """What is drawn; equal plans give equal files."""

    size: tuple[int, int]
    source: int
    target: int
    val: int
    synthia: int
    seed: int

    def pictures(self) -> Iterator[Picture]:
        """All images of the three towns."""
        counts = (self.source, self.target, self.val, self.synthia)
        for stream, count in enumerate(counts):
            for index in range(count):
                yield Picture(stream, index)


@dataclass(frozen=True)
class Picture:
    """One image: the number of its stream and its place within."""

    stream: int
    index: int


@dataclass(frozen=True)
class Stream:
    """A town or a split of one, and how its files are stored."""

    town: str
    style: TownStyle
    paths: Callable[[Path, int], tuple[Path, Path]]
    save_label: Callable[[Path, np.ndarray], None]


def _target_paths(split: str, root: Path, index: int) -> tuple[Path, Path]:
    return writer.cityscapes_paths(root, split, index)


STREAMS = (
    Stream('source', GAME, writer.gta_paths, writer.save_gta_label),
    Stream(
        'target',
        CAMERA,
        partial(_target_paths, 'train'),
        writer.save_cityscapes_label,
    ),
    Stream(
        'val',
        CAMERA,
        partial(_target_paths, 'val'),
        writer.save_cityscapes_label,
    ),
    Stream(
        'synthia', RENDERED, writer.synthia_paths, writer.save_synthia_label
    ),
)


def draw_minitown(
    root: str | os.PathLike,
    size: tuple[int, int] = (128, 256),
    source: int = 600,
    target: int = 600,
    val: int = 100,
    synthia: int = 100,
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> bool:
    """Draws the towns unless the folder holds them already.

    Args:
        root: Folder that receives `gta`, `cityscapes` and `synthia`.
        size: Height and width of the images in pixels.
        source: Number of images in GTA5's form.
        target: Number of training images in Cityscapes' form.
        val: Number of validation images in Cityscapes' form.
        synthia: Number of images in SYNTHIA's form.
        seed: The same seed gives the same bytes for any worker count.
        workers: Number of processes; one per available core if None.
        overwrite: Replaces a town drawn with other arguments.
        progress: Called with the number of images done and their total.

    Returns:
        False if the folder was complete and nothing had to be drawn.

    Raises:
        ValueError: If the folder holds a town drawn with other arguments,
            or data that is not a minitown.
    """
    root = Path(root)
    plan = Plan(tuple(map(int, size)), source, target, val, synthia, seed)
    if _is_complete(root, plan, overwrite):
        return False
    root.mkdir(parents=True, exist_ok=True)
    arguments = {'version': VERSION, 'arguments': asdict(plan)}
    _write_json(root / CLAIM, arguments)
    shares = _draw_all(root, plan, workers, progress)
    _write_json(root / MANIFEST, {**arguments, 'pixel_shares': shares})
    (root / CLAIM).unlink()
    return True


def _is_complete(root: Path, plan: Plan, overwrite: bool) -> bool:
    """True if nothing is to be drawn; makes room if it may."""
    found = next(
        (root / n for n in (MANIFEST, CLAIM) if (root / n).exists()), None
    )
    if found is None:
        _refuse_foreign_data(root)
        return False
    wanted = {'version': VERSION, **_as_json(asdict(plan))}
    recorded = json.loads(found.read_text())
    held = {'version': recorded['version'], **recorded['arguments']}
    differing = [
        f'{key} {held.get(key)} instead of {value}'
        for key, value in wanted.items()
        if held.get(key) != value
    ]
    if differing and not overwrite:
        raise ValueError(
            f'{root} holds a minitown with {", ".join(differing)}: give '
            'another folder or overwrite it'
        )
    if overwrite:
        _remove(root, held)
        return False
    return found.name == MANIFEST


def _refuse_foreign_data(root: Path) -> None:
    for name in FOLDERS:
        if (root / name).exists():
            raise ValueError(
                f'{root / name} exists but {root / MANIFEST} does not: '
                'minitown only draws where no other data set lies'
            )


def _remove(root: Path, held: dict) -> None:
    """Removes the files of the recorded plan and folders left empty."""
    names = ('size', 'source', 'target', 'val', 'synthia', 'seed')
    plan = Plan(**{name: held[name] for name in names})
    (root / MANIFEST).unlink(missing_ok=True)
    for picture in plan.pictures():
        for path in STREAMS[picture.stream].paths(root, picture.index):
            path.unlink(missing_ok=True)
    for name in FOLDERS:
        for folder, _, _ in os.walk(root / name, topdown=False):
            if not os.listdir(folder):
                os.rmdir(folder)


def _draw_all(
    root: Path, plan: Plan, workers: int | None, progress: Progress | None
) -> dict[str, dict[str, float]]:
    """Draws all images and returns the pixel shares of the classes."""
    pictures = list(plan.pictures())
    counts = np.zeros((len(STREAMS), len(CLASSES)), np.int64)
    workers = workers or len(os.sched_getaffinity(0))
    draw = partial(_draw_picture, root, plan)
    with ProcessPoolExecutor(workers, initializer=_one_thread) as pool:
        results = pool.map(draw, pictures, chunksize=8)
        for done, (picture, count) in enumerate(
            zip(pictures, results, strict=True), start=1
        ):
            counts[picture.stream] += count
            if progress:
                progress(done, len(pictures))
    return {
        stream.town: _shares(count)
        for stream, count in zip(STREAMS, counts, strict=True)
    }


def _one_thread() -> None:
    # The images are shared out already; more threads would only compete.
    cv2.setNumThreads(0)


def _draw_picture(root: Path, plan: Plan, picture: Picture) -> np.ndarray:
    """Draws and stores one image; returns its pixels per class (19,)."""
    stream = STREAMS[picture.stream]
    seeds = np.random.SeedSequence((plan.seed, picture.stream, picture.index))
    rng = np.random.default_rng(seeds)
    image, label = render(stream.style, plan.size, rng)
    image_path, label_path = stream.paths(root, picture.index)
    writer.save_image(image_path, image)
    stream.save_label(label_path, label)
    return np.bincount(label.ravel(), minlength=256)[: len(CLASSES)]


def _shares(counts: np.ndarray) -> dict[str, float]:
    total = max(int(counts.sum()), 1)
    return {
        label.name.lower(): round(float(counts[label] / total), 6)
        for label in CLASSES
    }


def _as_json(value: object) -> object:
    return json.loads(json.dumps(value))


def _write_json(path: Path, value: object) -> None:
    part = path.with_name(f'{path.name}.part')
    part.write_text(json.dumps(value, indent=2) + '\n')
    os.replace(part, path)
