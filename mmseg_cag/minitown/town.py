# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw the three towns into a folder, once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from mmseg_cag.datasets.inspection.drawing_record import CLAIM, MANIFEST
from mmseg_cag.fileio.json_file import write_json
from mmseg_cag.stack import core_count, process_context

from . import writer
from .classes import CLASSES
from .manifest import VERSION, is_complete
from .plan import STREAMS, Picture, Plan
from .render import render

Progress = Callable[[int, int], None]


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
    """Draw the towns unless the folder already contains them.

    Args:
        root: Folder that receives `gta`, `cityscapes` and `synthia`.
        size: Height and width of the images in pixels.
        source: Number of images in GTA5's layout.
        target: Number of training images in Cityscapes' layout.
        val: Number of validation images in Cityscapes' layout.
        synthia: Number of images in SYNTHIA's layout.
        seed: The same seed gives the same bytes for any worker count.
        workers: Number of processes; one per available core if None.
        overwrite: Whether to replace a town drawn with other arguments.
        progress: Called with the number of images done and their total.

    Returns:
        False if the folder was complete and nothing had to be drawn.

    Raises:
        ValueError: If the folder contains a town drawn with other arguments,
            or other data.
    """
    root = Path(root)
    plan = Plan(tuple(map(int, size)), source, target, val, synthia, seed)
    if is_complete(root, plan, overwrite):
        return False
    root.mkdir(parents=True, exist_ok=True)
    arguments = {'version': VERSION, 'arguments': asdict(plan)}
    write_json(root / CLAIM, arguments)
    start = time.monotonic()
    shares = _draw_all(root, plan, workers, progress)
    seconds = round(time.monotonic() - start, 1)
    results = {'pixel_shares': shares, 'seconds': seconds}
    write_json(root / MANIFEST, {**arguments, **results})
    (root / CLAIM).unlink()
    return True


def _draw_all(
    root: Path, plan: Plan, workers: int | None, progress: Progress | None
) -> dict[str, dict[str, float]]:
    """Draw all images; returns the pixel shares of the classes."""
    pictures = list(plan.pictures())
    counts = np.zeros((len(STREAMS), len(CLASSES)), np.int64)
    workers = workers or core_count()
    draw = partial(_draw_picture, root, plan)
    pool = ProcessPoolExecutor(workers, process_context(), _begin_worker)
    try:
        results = pool.map(draw, pictures, chunksize=8)
        for done, (picture, count) in enumerate(
            zip(pictures, results, strict=True), start=1
        ):
            counts[picture.stream] += count
            if progress:
                progress(done, len(pictures))
    finally:
        # On interruption, do not wait for the rest.
        pool.shutdown(cancel_futures=True)
    return {
        stream.town: _shares(count)
        for stream, count in zip(STREAMS, counts, strict=True)
    }


def _begin_worker() -> None:
    # The images are already split over processes; threads would only compete.
    cv2.setNumThreads(0)
    # Ctrl-C in a terminal is for the parent process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _draw_picture(root: Path, plan: Plan, picture: Picture) -> np.ndarray:
    """Draw and save one image; returns its pixels per class (19,)."""
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
