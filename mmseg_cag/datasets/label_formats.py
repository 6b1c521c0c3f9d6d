# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Label file formats: ids or colours."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.images import check_png, imdecode, open_label

# legend: H W image


# Modes with one number per pixel: 8 bits, palette index, 16 bits.
ID_MODES = ('L', 'P', 'I;16', 'I;16B', 'I')

# Suffix of train-id files converted by this package.
WRITTEN_SUFFIX = '_labelTrainIds.png'


class IdFormat:
    """Grey or palette images of 8 or 16 bits; a palette's index is the id."""

    size = 2**16

    def number(self, value: int, name: str) -> int:
        """Check the id of a class in a config.

        Raises:
            UserError: It is not an id.
        """
        if not isinstance(value, int) or not 0 <= value < self.size:
            raise UserError(
                f'{name}={value!r}: expected an id in 0..{self.size - 1}'
            )
        return value

    def show(self, numbers: Sequence[int]) -> str:
        """Format ids for the user."""
        return f'id {_list(numbers)}'

    def decode(self, content: bytes) -> np.ndarray:
        """Decode a file.

        Returns:
            Ids (H, W), uint8 or uint16.

        Raises:
            OSError: It is damaged or another kind of image, or an id exceeds
                16 bits.
        """
        check_png(content)
        with open_label(content) as image:
            if image.mode not in ID_MODES:
                raise OSError(
                    'expected one id per pixel, 8-bit or 16-bit grey or a '
                    f'palette, found mode {image.mode}'
                )
            ids = np.array(image)
        if ids.dtype == np.uint8:
            return ids
        # Some Pillow versions return 16 bits as int32.
        if ids.min() < 0 or ids.max() >= self.size:
            raise OSError(f'expected ids below {self.size}, found others')
        return ids.astype(np.uint16)


class ColourFormat:
    """Images whose colours stand for classes, as numbers 0xRRGGBB."""

    size = 2**24

    def number(self, value: Sequence[int], name: str) -> int:
        """Check the colour of a class in a config and encode it.

        Raises:
            UserError: It is not a colour.
        """
        is_colour = isinstance(value, Sequence) and len(value) == 3
        if not is_colour or not all(0 <= part < 2**8 for part in value):
            raise UserError(
                f'{name}={value!r}: expected a colour (red, green, blue) in '
                f'0..{2**8 - 1}, as other classes have'
            )
        return int.from_bytes(value, 'big')

    def show(self, numbers: Sequence[int]) -> str:
        """Format colours for the user."""
        return (
            f'colour {_list([tuple(n.to_bytes(3, "big")) for n in numbers])}'
        )

    def decode(self, content: bytes) -> np.ndarray:
        """Decode a file.

        Returns:
            Colours (H, W) uint32.

        Raises:
            OSError: It is damaged or not an 8-bit image.
        """
        check_png(content)
        # Not Pillow, which would truncate 16 bits to 8.
        image = imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        if image is None:
            raise OSError('OpenCV cannot decode it')
        with open_label(content):
            pass  # a lossless format
        if image.dtype != np.uint8:
            raise OSError(f'expected colours of 8 bits, found {image.dtype}')
        blue, green, red = np.moveaxis(image.astype(np.uint32), -1, 0)
        return red << 16 | green << 8 | blue


def _list(values: Sequence, at_most: int = 10) -> str:
    shown = ', '.join(map(str, values[:at_most]))
    return f'{shown} ...' if len(values) > at_most else shown
