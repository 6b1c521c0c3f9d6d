# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Make a contact sheet of the towns and their labels."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmseg_cag.datasets.published import CITYSCAPES_IDS, SYNTHIA_IDS

from . import writer
from .classes import PALETTE


def contact_sheet(root: str | os.PathLike, rows: int = 8) -> np.ndarray:
    """Make an RGB uint8 sheet: image and label of each town, left to right.

    Args:
        root: Folder drawn by `draw_minitown`.
        rows: Images per town.
    """
    root = Path(root)
    towns = (
        (lambda i: writer.gta_paths(root, i), CITYSCAPES_IDS),
        (lambda i: writer.cityscapes_paths(root, 'train', i), CITYSCAPES_IDS),
        (lambda i: writer.synthia_paths(root, i), SYNTHIA_IDS),
    )
    columns = []
    for paths, ids in towns:
        files = [paths(i) for i in range(rows)]
        pairs = [_pair(*f, ids) for f in files if f[0].exists()]
        if pairs:
            columns.append(np.vstack(pairs))
    height = max(len(column) for column in columns)
    return np.hstack(
        [np.pad(c, ((0, height - len(c)), (0, 0), (0, 0))) for c in columns]
    )


def _pair(image: Path, label: Path, ids: dict[int, int]) -> np.ndarray:
    colours = np.zeros((256, 3), np.uint8)
    for raw, train in ids.items():
        colours[raw] = PALETTE[train]
    shown = np.asarray(Image.open(image).convert('RGB'))
    return np.hstack((shown, colours[_read_ids(label)]))


def _read_ids(path: Path) -> np.ndarray:
    """Read raw ids (H, W) of a label in any of the three layouts."""
    with Image.open(path) as stored:
        if stored.mode in ('P', 'L'):
            return np.asarray(stored)
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., 2]
