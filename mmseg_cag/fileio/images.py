# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import Image

PNG = b'\x89PNG\r\n\x1a\n'
LENGTH_TYPE_AND_CHECKSUM = 12  # bytes of a chunk beside its content


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
