# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from mmengine import fileio
from PIL import Image, UnidentifiedImageError

from mmseg_cag.errors import UserError

PNG = b'\x89PNG\r\n\x1a\n'
LENGTH_TYPE_AND_CHECKSUM = 12  # bytes of a chunk beside its content


class DamagedPngError(UserError, OSError):
    """A file that begins as a PNG and is cut or altered."""


def check_png(content: bytes, path: str) -> None:
    """Check a PNG against its checksums, which OpenCV leaves unread.

    Args:
        content: The bytes of any file.
        path: Its name, for the error.

    Raises:
        DamagedPngError: It is a PNG, and cut or altered.
    """
    if not content.startswith(PNG):
        return
    view, start, name = memoryview(content), len(PNG), b''
    while name != b'IEND':
        length = int.from_bytes(view[start : start + 4], 'big')
        name = bytes(view[start + 4 : start + 8])
        end = start + 8 + length
        checksum = int.from_bytes(view[end : end + 4], 'big')
        if len(view) < end + 4:
            raise DamagedPngError(f'{path}: a damaged PNG (cut short)')
        if zlib.crc32(view[start + 4 : end]) != checksum:
            raise DamagedPngError(f'{path}: a damaged PNG (wrong checksum)')
        start = end + 4


def imdecode(content: bytes, flags: int) -> np.ndarray | None:
    """Decode an image by OpenCV.

    Args:
        content: The bytes of the file.
        flags: Those of ``cv2.imdecode``.

    Returns:
        The image, or None if it is none, whatever OpenCV makes of it: it
        refuses an empty buffer, or a size beyond its limit, in many lines.
    """
    if not content or _claims_too_much(content):
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        return None


def _claims_too_much(content: bytes) -> bool:
    """Tell whether a file would take seconds and gigabytes to decode.

    Its header claims more pixels than Pillow would decode, or it is a PNG
    that `chunk_overruns`.
    """
    if chunk_overruns(content):
        return True
    try:
        Image.open(BytesIO(content)).close()
    except Image.DecompressionBombError:
        return True
    except Exception:  # of no kind that Pillow knows, so OpenCV decides
        return False
    return False


def chunk_overruns(content: bytes) -> bool:
    """Tell whether a PNG claims that a part of it is longer than the file.

    OpenCV allocates and clears what is claimed, up to 4 GB.

    Args:
        content: The bytes of any file.
    """
    if not content.startswith(PNG):
        return False
    position = len(PNG)
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], 'big')
        if length > len(content):
            return True
        if content[position + 4 : position + 8] == b'IEND':
            return False  # what follows is no part of the image
        position += LENGTH_TYPE_AND_CHECKSUM + length
    return False


@contextmanager
def open_image(file: Path | IO[bytes]) -> Iterator[Image.Image]:
    """Open an image by Pillow, whose errors are then all of a few kinds.

    Args:
        file: A path or an open file.

    Raises:
        OSError: It is no image, is damaged, or claims to be of a size that
            no memory holds.
        SyntaxError: It is a damaged PNG.
    """
    try:
        with Image.open(file) as image:
            yield image
    # What decoders raise for numbers that make no sense, too.
    except (
        Image.DecompressionBombError,
        ValueError,
        OverflowError,
        MemoryError,
    ) as error:
        raise OSError(str(error) or type(error).__name__) from error


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
