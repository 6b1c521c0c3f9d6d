# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw minitown for the parts that load images, beside other parts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from PIL import Image

from gpu_day.setup import NOT_DRAWN, NotHereError, Setup
from mmseg_cag.datasets.inspection.drawing_record import MANIFEST
from mmseg_cag.minitown.town import draw_minitown

# Height, width and number of images, each with its rehearsal value.
SIZE = ((512, 1024), (64, 128))
IMAGES = (
    dict(source=120, target=120, val=30, synthia=1),
    dict(source=4, target=4, val=2, synthia=1),
)
# Height and width of frames of GTA5 and Cityscapes; names follow.
FRAMES = {
    'gta': ((1052, 1914), ('images/*.png', 'labels/*.png')),
    'cityscapes': ((1024, 2048), ('leftImg8bit/train/*/*.png',)),
}
# Images of each kind, and grey levels of noise, for files as large as a
# camera's.
FRAME_COUNT, NOISE = 4, 3
SHRINK = 8  # in a rehearsal
BESIDE_TESTS = 4  # processes that draw beside other work


def draw_towns(folder: Path, rehearse: bool, beside: bool) -> None:
    """Draw minitown.

    Args:
        folder: Folder that gets it.
        rehearse: Whether to draw little.
        beside: Whether tests need most of the cores.
    """
    cores = max(1, len(os.sched_getaffinity(0)) * 3 // 4)
    draw_minitown(
        folder / 'towns',
        size=SIZE[rehearse],
        workers=min(cores, BESIDE_TESTS) if beside else cores,
        **IMAGES[rehearse],
    )


def wait_for_towns(setup: Setup) -> Path:
    """Wait until minitown is drawn; returns its folder.

    Raises:
        NotHereError: It takes too long, or has failed.
    """
    folder, failed = setup.folder / 'towns', setup.folder / NOT_DRAWN
    while not (folder / MANIFEST).exists():
        if failed.exists():
            raise NotHereError(failed.read_text())
        if setup.left < 1:
            raise NotHereError('minitown was not drawn in time')
        time.sleep(0.2)
    return folder


def make_frames(setup: Setup) -> Path:
    """Enlarge images of minitown to the size of published frames.

    Returns:
        A folder with ``gta`` and ``cityscapes`` in their publishers' layout.
    """
    towns, root = wait_for_towns(setup), setup.folder / 'frames'
    rng = np.random.default_rng(0)
    for name, (size, patterns) in FRAMES.items():
        size = tuple(side // setup.choose(1, SHRINK) for side in size)
        for pattern in patterns:
            for path in sorted((towns / name).glob(pattern))[:FRAME_COUNT]:
                target = root / path.relative_to(towns)
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _enlarge(path, target, size, rng)
    # BDL's translated images: any images with the same names.
    translated = root / 'gta' / 'translated'
    if not translated.exists():
        translated.symlink_to('images')
    return root


def _enlarge(
    path: Path, target: Path, size: tuple[int, int], rng: np.random.Generator
) -> None:
    with Image.open(path) as image:
        labels = image.mode == 'P'
        how = Image.Resampling.NEAREST if labels else Image.Resampling.BICUBIC
        large = image.resize(size[::-1], how)
    if not labels:
        noise = rng.normal(0, NOISE, (*size, 3))
        pixels = np.clip(np.asarray(large) + noise, 0, 255)
        large = Image.fromarray(pixels.astype(np.uint8))
    large.save(target, compress_level=1)
