# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Images for the parts that load some: minitown, drawn beside the others."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from PIL import Image

from gpu_day.setup import NotHereError, Setup
from mmseg_cag.datasets.inspection.drawing_record import MANIFEST
from mmseg_cag.minitown.town import draw_minitown

# Height and width, and how many images; those of a rehearsal beside them.
SIZE = ((512, 1024), (64, 128))
IMAGES = (
    dict(source=160, target=160, val=40, synthia=1),
    dict(source=4, target=4, val=2, synthia=1),
)
# Height and width of the frames of GTA5 and Cityscapes, whose names follow.
FRAMES = {
    'gta': ((1052, 1914), ('images/*.png', 'labels/*.png')),
    'cityscapes': ((1024, 2048), ('leftImg8bit/train/*/*.png',)),
}
# Images of a kind, and grey levels of noise, which makes files as large as a
# camera's.
FRAME_COUNT, NOISE = 8, 3
SHRINK = 8  # of a rehearsal


def draw_towns(folder: Path, rehearse: bool) -> None:
    """Draw minitown, on three quarters of the cores."""
    draw_minitown(
        folder / 'towns',
        size=SIZE[rehearse],
        workers=max(1, len(os.sched_getaffinity(0)) * 3 // 4),
        **IMAGES[rehearse],
    )


def wait_for_towns(setup: Setup) -> Path:
    """Wait until minitown is drawn; returns its folder.

    Raises:
        NotHereError: It takes longer than there is time.
    """
    folder = setup.folder / 'towns'
    while not (folder / MANIFEST).exists():
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
    # BDL's images in the style of the target: any of the same names.
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
