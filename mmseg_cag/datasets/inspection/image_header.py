# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What an image file's first and last bytes tell."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO
from zipfile import ZipExtFile

from mmseg_cag.fileio.images import open_image
from mmseg_cag.fileio.open_file import open_file

PNG_DEPTH = 24  # byte of a PNG that holds the bits of a channel
TAIL = 1024  # bytes in which a file's end mark is looked for first
PNG_END = b'IEND\xae\x42\x60\x82'
JPEG_START, JPEG_END = b'\xff\xda', b'\xff\xd9'  # of the pixels


@dataclass(frozen=True)
class Header:
    """What is known of an image without decoding it."""

    size: tuple[int, int]  # width, height
    bands: int
    bits: int
    whole: bool


def read_header(path: str, backend_args: dict | None = None) -> Header:
    """Read a file's header and look for its end mark.

    Args:
        path: The image.
        backend_args: Arguments of mmengine's file backend.

    Raises:
        OSError: The file cannot be read or is no image.
    """
    with open_file(path, backend_args) as file, open_image(file) as image:
        kind, bits = image.format, 16 if '16' in image.mode else 8
        if kind == 'PNG':
            file.seek(PNG_DEPTH)  # Pillow opens 16-bit colour as 8-bit
            bits = file.read(1)[0]
        bands = len(image.getbands())
        return Header(image.size, bands, bits, _is_whole(file, kind))


def _is_whole(file: BinaryIO, kind: str | None) -> bool:
    """Whether the end mark is there, near the end or anywhere."""
    # A zip file has checksums, and would be unpacked to look for an end.
    if kind not in ('PNG', 'JPEG') or isinstance(file, ZipExtFile):
        return True
    size = file.seek(0, os.SEEK_END)
    for start in (max(0, size - TAIL), 0):
        file.seek(start)
        content = file.read()
        if kind == 'PNG' and PNG_END in content:
            return True
        # A thumbnail has an end mark too, but before the pixels.
        end, pixels = content.rfind(JPEG_END), content.rfind(JPEG_START)
        if kind == 'JPEG' and end > pixels:
            return True
    return False
