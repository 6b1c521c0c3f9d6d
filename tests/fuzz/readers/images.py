# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmseg_cag.data_check.contents import decode
from mmseg_cag.datasets.inspection.headers import check_headers
from mmseg_cag.datasets.transforms.loading import LoadImageOnDemand
from mmseg_cag.datasets.transforms.random_resize_crop import RandomResizeCrop
from mmseg_cag.fileio.images import read_image

from . import pictures
from .reader import Reader

FILE = 'image.png'


def readers(scratch: Path) -> Iterator[Reader]:
    """The readers of images."""
    image, ids = pictures.scene()
    seeds = [
        pictures.encoded(image),
        pictures.encoded(ids),
        pictures.palette(ids),
        pictures.wide(image),
        pictures.encoded(image, 'JPEG'),
        pictures.encoded(image, 'TIFF', compression='tiff_lzw'),
        pictures.encoded(image, 'BMP'),
        pictures.encoded(image, 'WEBP'),
        pictures.encoded(image, interlace=1),
    ]
    named = {
        'LoadImageOnDemand, RandomResizeCrop': load_window,
        'headers': headers,
        'the doctor': contents,
        'demo': lambda folder: read_image(str(folder / FILE)),
    }
    for name, read in named.items():
        yield Reader('images', name, FILE, seeds, read)


def load_window(folder: Path) -> None:
    sample = {'img_path': str(folder / FILE), 'seg_fields': []}
    sample = LoadImageOnDemand().transform(sample)
    np.random.seed(0)
    RandomResizeCrop((64, 32), (1.0, 1.5), (16, 16)).transform(sample)


def headers(folder: Path) -> None:
    list(check_headers({'img_path': str(folder / FILE)}, None, False))


def contents(folder: Path) -> None:
    decode({'img_path': str(folder / FILE)}, None, None)
