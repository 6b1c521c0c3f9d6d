# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Minitown rewritten as a user's own pair of domains, for configs/custom.

Plain folders of PNGs: the source with 8-bit ids of seven classes, the target
with 16-bit ids of six others.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests import tiny

# Own id of each GTA5 or Cityscapes id; the rest is void.
SIM_IDS = {7: 1, 8: 2, 11: 3, 21: 4, 23: 5, 26: 6, 27: 7}
SIM_VOID = 0
REAL_IDS = {7: 2000, 11: 3000, 21: 4000, 23: 5000, 24: 6000}
REAL_IDS |= {26: 1000, 27: 1000, 28: 1000}
REAL_VOID = 65535
# What configs/custom trains: the GTA5 or Cityscapes ids of each class.
CLASSES = ['road', 'building', 'vegetation', 'sky', 'vehicle']
SIM_TRUTH = {7: 0, 8: 0, 11: 1, 21: 2, 23: 3, 26: 4, 27: 4}
REAL_TRUTH = {7: 0, 11: 1, 21: 2, 23: 3, 26: 4, 27: 4, 28: 4}


def translate(ids: np.ndarray, table: dict[int, int], rest: int) -> np.ndarray:
    """Translate ids (H, W) pixel by pixel."""
    out = np.empty(ids.shape, np.uint16)
    for index, value in np.ndenumerate(ids):
        out[index] = table.get(int(value), rest)
    return out


def read(path: Path) -> np.ndarray:
    """Read the ids (H, W) of one of minitown's labels."""
    return np.array(Image.open(path))


def write_own(towns: Path, root: Path) -> None:
    """Write ``sim`` and ``real`` from ``gta`` and ``cityscapes`` of towns."""
    shutil.copytree(towns / 'gta/images', root / 'sim/images')
    for path in (towns / 'gta/labels').iterdir():
        ids = translate(read(path), SIM_IDS, SIM_VOID).astype(np.uint8)
        tiny.save_image(root / 'sim/labels' / path.name, ids)
    for split in ('train', 'val'):
        images = towns / 'cityscapes/leftImg8bit' / split
        shutil.copytree(images, root / 'real' / split)
        folder = dict(train='train_labels', val='labels')[split]
        for path in (towns / 'cityscapes/gtFine' / split).rglob('*.png'):
            name = path.name.replace('_gtFine_labelIds', '_leftImg8bit')
            label = root / 'real' / folder / path.parent.name / name
            label.parent.mkdir(parents=True, exist_ok=True)
            ids = translate(read(path), REAL_IDS, REAL_VOID)
            cv2.imwrite(str(label), ids)
