# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from mmseg_cag.errors import UserError

from .images import PNG

# The faster module if it is installed.
try:
    from zlib_ng import zlib_ng as zlib
except ImportError:
    import zlib

HEADER = struct.Struct('>IIBBBBB')
# Channels by bits, colour type, compression, filter and interlacing: what is
# read here. A pixel of a palette is its index.
CHANNELS = {
    (8, 0, 0, 0, 0): 1,  # grey
    (8, 3, 0, 0, 0): 1,  # palette
    (8, 2, 0, 0, 0): 3,  # RGB
}
# What Pillow calls these channels, and in which order it is to put them.
MODES = {1: ('L', 'L'), 3: ('RGB', 'BGR')}
# Up to this number, a row's filter knows nothing of the row above.
SUB = 1


class DamagedPngError(UserError, OSError):
    """A file that begins as a PNG and is cut or altered."""


class LazyPng:
    """A PNG, decoded from the top down to the last row that is asked for.

    A PNG has to be decoded in order, but what lies below a window need not
    be decoded at all. All of it is checked against its checksums.

    Args:
        shape: Height, width and channels, 1 or 3.
        data: The compressed rows, of 8 bits a channel.
        path: Name of the file, for errors.
    """

    def __init__(
        self, shape: tuple[int, int, int], data: bytes, path: str
    ) -> None:
        self.shape = shape
        self._data = data
        self._path = path

    @classmethod
    def open(cls, content: bytes, path: str) -> LazyPng | None:
        """Open a file.

        Args:
            content: Its bytes.
            path: Its name, for errors.

        Returns:
            None if it is no plain PNG: grey, palette or RGB of 8 bits, not
            interlaced, without an orientation to apply.

        Raises:
            DamagedPngError: It is cut, or a checksum is wrong.
        """
        if not content.startswith(PNG):
            return None
        try:
            chunks = list(_chunks(content))
            width, height, *form = HEADER.unpack(chunks[0][1])
            if not width or not height:
                raise ValueError('without a pixel')
        except (struct.error, ValueError) as error:
            raise DamagedPngError(
                f'{path}: a damaged PNG ({error})'
            ) from error
        channels = CHANNELS.get(tuple(form))
        if channels is None or any(name == b'eXIf' for name, _ in chunks):
            return None
        data = b''.join(data for name, data in chunks if name == b'IDAT')
        return cls((height, width, channels), data, path)

    def decode(self) -> Image.Image:
        """Decode all of it."""
        height, width, _ = self.shape
        return self.crop(slice(0, height), slice(0, width))

    def crop(self, rows: slice, columns: slice) -> Image.Image:
        """Decode a part.

        Args:
            rows: Begin and end.
            columns: Begin and end.

        Returns:
            The part; colours blue first as mmseg has them, whatever Pillow
            calls them.

        Raises:
            DamagedPngError: The pixels cannot be decoded.
        """
        try:
            lines = self._inflate(rows.stop, columns.stop)
            first = _independent(lines[: rows.start + 1, 0])
            part = self._unfilter(lines[first:])
        except (zlib.error, OSError, ValueError, OverflowError) as error:
            raise DamagedPngError(
                f'{self._path}: a damaged PNG ({error})'
            ) from error
        return part.crop(
            (columns.start, rows.start - first, columns.stop, part.height)
        )

    def _inflate(self, bottom: int, right: int) -> np.ndarray:
        """Rows as stored, the filter's number before the bytes, (h, 1 + wc).

        No filter looks further right or down than its pixel.
        """
        _, width, channels = self.shape
        length = 1 + width * channels
        lines = zlib.decompressobj().decompress(self._data, bottom * length)
        stored = np.frombuffer(lines, np.uint8).reshape(bottom, length)
        return stored[:, : 1 + right * channels]

    def _unfilter(self, lines: np.ndarray) -> Image.Image:
        """Turn stored rows, the first of them independent, into pixels."""
        channels = self.shape[2]
        mode, order = MODES[channels]
        size = ((lines.shape[1] - 1) // channels, len(lines))
        if lines[:, 0].any():
            # Pillow undoes filters while it inflates: nothing is packed here.
            data, decoder = zlib.compress(lines.tobytes(), 0), 'zip'
        else:
            data, decoder = lines[:, 1:].tobytes(), 'raw'
        return Image.frombytes(mode, size, data, decoder, order)


def _independent(filters: np.ndarray) -> int:
    """Find the last row that is not stored relative to the one above."""
    independent = np.flatnonzero(filters <= SUB)
    return int(independent[-1]) if len(independent) else 0


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Walk through the named parts of a PNG to its end."""
    view, start, name = memoryview(content), len(PNG), b''
    while name != b'IEND':
        if len(view) < start + 12:
            raise ValueError('cut short')
        length, name = struct.unpack_from('>I4s', view, start)
        end = start + 8 + length
        if len(view) < end + 4:
            raise ValueError('cut short')
        (checksum,) = struct.unpack_from('>I', view, end)
        if zlib.crc32(view[start + 4 : end]) != checksum:
            raise ValueError('wrong checksum')
        yield name, view[start + 8 : end]
        start = end + 4
