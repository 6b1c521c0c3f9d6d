# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image


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
