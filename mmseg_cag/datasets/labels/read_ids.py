# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Decoding of label files to the ids they store, through any file backend."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
from mmengine import fileio
from PIL import UnidentifiedImageError

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.images import imdecode, open_image
from mmseg_cag.fileio.lazy_png import LazyPng

# legend: H W image


def read_index(path: str, backend_args: dict | None = None) -> np.ndarray:
    """Read an 8-bit grey or palette PNG; a palette's index is the id.

    Pillow keeps the index, where OpenCV expands a palette to its colours.

    Args:
        path: The label file.
        backend_args: Arguments of mmengine's file backend.

    Returns:
        Ids, uint8 (H, W), read-only.

    Raises:
        UserError: The file is an image of another kind.
        OSError, SyntaxError: It is no image, or a damaged one.
    """
    raw = fileio.get(path, backend_args=backend_args)
    png = LazyPng.open(raw, path)
    if png and png.shape[2] == 1:
        return np.asarray(png.decode())  # as below, but faster
    with open_image(BytesIO(raw)) as image:
        # Decoding alone leaves the checksums of a PNG unread.
        image.verify()
    with open_image(BytesIO(raw)) as image:
        if image.mode not in ('L', 'P'):
            raise UserError(
                f'{path}: expected one id a pixel, an 8-bit grey or palette '
                f'image, found one of mode {image.mode}: colours are no ids, '
                'so take the label file as published, not a colour-coded copy'
            )
        return np.asarray(image)


def read_red16(path: str, backend_args: dict | None = None) -> np.ndarray:
    """Read the red channel of a 16-bit RGB PNG, which Pillow would cut to 8.

    Args:
        path: The label file.
        backend_args: Arguments of mmengine's file backend.

    Returns:
        Ids, uint16 (H, W).

    Raises:
        UserError: The file is an image of another kind.
        OSError: It is no image, or a damaged one.
    """
    raw = fileio.get(path, backend_args=backend_args)
    image = imdecode(raw, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise UnidentifiedImageError('OpenCV cannot decode it')
    if image.dtype != np.uint16 or image.ndim != 3:
        channels = image.shape[2] if image.ndim == 3 else 1
        raise UserError(
            f'{path}: expected the 16-bit RGB image of GT/LABELS, its red '
            f'channel the class, found {8 * image.itemsize} bits and '
            f'{channels} channel(s): GT/COLOR and 8-bit copies hold no ids'
        )
    red = 2  # OpenCV's order is blue, green, red
    return cv2.extractChannel(image, red)
