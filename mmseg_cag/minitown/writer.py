# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Write files in the layouts of GTA5, Cityscapes and SYNTHIA."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmseg_cag.datasets.published import CITYSCAPES_IDS, SYNTHIA_IDS
from mmseg_cag.fileio.atomic import atomic_path

from .classes import PALETTE, Label

# Cities of the target; images of a split are assigned in turn.
CITIES = {'train': ('ahornau', 'buchenfeld', 'eichstadt'), 'val': ('lindau',)}
# Void pixels of the camera town are the ego car's bonnet.
EGO_VEHICLE = 1
FIRST_THING = Label.PERSON


def gta_paths(root: Path, index: int) -> tuple[Path, Path]:
    """Return image and label path; GTA5 counts from one."""
    name = f'{index + 1:05d}.png'
    return root / 'gta/images' / name, root / 'gta/labels' / name


def cityscapes_paths(root: Path, split: str, index: int) -> tuple[Path, Path]:
    """Return image and label path in `train` or `val`."""
    cities = CITIES[split]
    city = cities[index % len(cities)]
    stem = f'{city}_{index // len(cities):06d}_000019'
    base = root / 'cityscapes'
    return (
        base / 'leftImg8bit' / split / city / f'{stem}_leftImg8bit.png',
        base / 'gtFine' / split / city / f'{stem}_gtFine_labelIds.png',
    )


def synthia_paths(root: Path, index: int) -> tuple[Path, Path]:
    """Return image and label path; SYNTHIA counts from zero."""
    name = f'{index:07d}.png'
    return root / 'synthia/RGB' / name, root / 'synthia/GT/LABELS' / name


def save_image(path: Path, image: np.ndarray) -> None:
    """Save an RGB image uint8 (H, W, 3)."""
    _save_array(path, image[..., ::-1])


def save_gta_label(path: Path, label: np.ndarray) -> None:
    """Save trainIds (H, W) as a palette image of GTA5 ids."""
    ids = Image.fromarray(_raw_ids(CITYSCAPES_IDS, void=0)[label], 'P')
    colours = np.zeros((256, 3), np.uint8)
    for raw, train in CITYSCAPES_IDS.items():
        colours[raw] = PALETTE[train]
    ids.putpalette(colours.tobytes())
    with atomic_path(path) as draft:
        ids.save(draft, format='PNG')


def save_cityscapes_label(path: Path, label: np.ndarray) -> None:
    """Save trainIds (H, W) as Cityscapes labelIds."""
    _save_array(path, _raw_ids(CITYSCAPES_IDS, void=EGO_VEHICLE)[label])


def save_synthia_label(path: Path, label: np.ndarray) -> None:
    """Save trainIds (H, W) as 16 bit: R the class, G the instance."""
    things = (label >= FIRST_THING) & (label != Label.VOID)
    _, instances = cv2.connectedComponents(things.astype(np.uint8))
    stored = np.zeros((*label.shape, 3), np.uint16)
    # OpenCV stores the channels in the order B, G, R.
    stored[..., 2] = _raw_ids(SYNTHIA_IDS, void=0)[label]
    stored[..., 1] = instances
    _save_array(path, stored)


def _raw_ids(ids: dict[int, int], void: int) -> np.ndarray:
    """Make a lookup table (256,) from trainId to a dataset's raw id."""
    table = np.full(256, void, np.uint8)
    for raw, train in ids.items():
        table[train] = raw
    return table


def _save_array(path: Path, array: np.ndarray) -> None:
    _, data = cv2.imencode('.png', array)
    with atomic_path(path) as draft:
        draft.write_bytes(data.tobytes())
