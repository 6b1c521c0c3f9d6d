# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""How label files say what a pixel is: by id or by colour."""

from __future__ import annotations

from collections.abc import Sequence
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


# One number a pixel: 8 bits, the index of a palette, 16 bits.
ID_MODES = ('L', 'P', 'I;16', 'I;16B', 'I')

# How a file of train ids ends that this package has converted.
WRITTEN_SUFFIX = '_labelTrainIds.png'


class IdFormat:
    """Grey or palette images of 8 or 16 bits; a palette's index is the id."""

    size = 2**16

    def number(self, value: int, name: str) -> int:
        """Check an id that a config gives to a class.

        Raises:
            UserError: It is no id.
        """
        if not isinstance(value, int) or not 0 <= value < self.size:
            raise UserError(
                f'{name}={value!r}: expected an id in 0..{self.size - 1}'
            )
        return value

    def show(self, numbers: Sequence[int]) -> str:
        """Write ids for the user."""
        return f'id {_list(numbers)}'

    def decode(self, content: bytes) -> np.ndarray:
        """Decode a file.

        Returns:
            Ids (H, W), uint8 or uint16.

        Raises:
            OSError: It is no such image, or an id has more than 16 bits.
        """
        with open_image(BytesIO(content)) as image:
            if image.mode not in ID_MODES:
                raise OSError(
                    'expected one id a pixel, 8 or 16 bits grey or a '
                    f'palette, found an image of mode {image.mode}'
                )
            ids = np.array(image)
        if ids.dtype == np.uint8:
            return ids
        # Some versions of Pillow give 16 bits as int32.
        if ids.min() < 0 or ids.max() >= self.size:
            raise OSError(f'expected ids below {self.size}, found others')
        return ids.astype(np.uint16)


class ColourFormat:
    """Images whose colours stand for classes, as numbers 0xRRGGBB."""

    size = 2**24

    def number(self, value: Sequence[int], name: str) -> int:
        """Check a colour that a config gives to a class, and number it.

        Raises:
            UserError: It is no colour.
        """
        is_colour = isinstance(value, Sequence) and len(value) == 3
        if not is_colour or not all(0 <= part < 2**8 for part in value):
            raise UserError(
                f'{name}={value!r}: expected a colour (red, green, blue) in '
                f'0..{2**8 - 1}, as other classes have'
            )
        return int.from_bytes(value, 'big')

    def show(self, numbers: Sequence[int]) -> str:
        """Write colours for the user."""
        return (
            f'colour {_list([tuple(n.to_bytes(3, "big")) for n in numbers])}'
        )

    def decode(self, content: bytes) -> np.ndarray:
        """Decode a file.

        Returns:
            Colours (H, W) uint32.

        Raises:
            OSError: It is no image, or one of 16 bits.
        """
        # Not Pillow, which would cut 16 bits to 8.
        image = imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        if image is None:
            raise OSError('OpenCV cannot decode it')
        if image.dtype != np.uint8:
            raise OSError(f'expected colours of 8 bits, found {image.dtype}')
        blue, green, red = np.moveaxis(image.astype(np.uint32), -1, 0)
        return red << 16 | green << 8 | blue


def _list(values: Sequence, at_most: int = 10) -> str:
    shown = ', '.join(map(str, values[:at_most]))
    return f'{shown} ...' if len(values) > at_most else shown
