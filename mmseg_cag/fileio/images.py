# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Finding and reading image files."""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path, PurePath
from typing import IO, Any

import cv2
import numpy as np
from mmengine import fileio
from mmengine.fileio import LocalBackend, register_backend
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from mmseg_cag.errors import MissingFileError, UserError

PNG = b'\x89PNG\r\n\x1a\n'
AROUND = 12  # bytes of a chunk without its content: length, name, checksum
# Chunks that Pillow unpacks needlessly, and refuses if large.
UNREAD = (b'tEXt', b'zTXt', b'iTXt', b'iCCP')
HEAD = 4096  # bytes that contain a WebP file's compression mode
LOSSY = ('JPEG', 'MPO', 'JPEG2000', 'AVIF')
LOSSY_TIFF = ('jpeg', 'tiff_jpeg', 'webp', 'jpeg2000')
# Maximum number of pixels to read. OpenCV obeys the same variable, with a
# default of 2**30.
LIMIT = 'OPENCV_IO_MAX_IMAGE_PIXELS'
_set = os.environ.get(LIMIT, '')
MAX_PIXELS = int(_set) if _set.isdigit() else 2**28
# Pillow warns above its limit and refuses above twice the limit.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
warnings.simplefilter('ignore', Image.DecompressionBombWarning)
# Also limit text chunks, for transforms that pass files to Pillow directly.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


# Folders that systems create, besides those with a leading dot.
OF_SYSTEMS = {
    '#recycle',
    '#snapshot',
    '$RECYCLE.BIN',
    '@Recycle',
    '@__thumb',
    '@eaDir',
    '@tmp',
    '__MACOSX',
}


def is_hidden(name: str | PurePath) -> bool:
    """Return whether a file or a folder in its path is hidden.

    Args:
        name: Path relative to a folder, which may itself be hidden.
    """
    parts = PurePath(name).parts
    return any(p.startswith('.') or p in OF_SYSTEMS for p in parts)


@register_backend('local', force=True, prefixes='')
class VisibleFilesBackend(LocalBackend):
    """mmengine's local backend that also skips hidden folders.

    mmengine skips hidden files only, so thumbnails and copies from notebooks
    and network disks would become images of a dataset.
    """

    def list_dir_or_file(self, *args: Any, **kwargs: Any) -> Iterator[str]:
        """List files and folders without hidden ones."""
        names = super().list_dir_or_file(*args, **kwargs)
        return (name for name in names if not is_hidden(name))


class DamagedPngError(UserError, OSError):
    """A truncated or altered PNG."""


class TooLargeError(UserError, OSError):
    """An image with too many pixels."""

    def __init__(self, path: str = '') -> None:
        super().__init__(
            f'{path and path + ": "}has more than {MAX_PIXELS} pixels; if '
            f'that is correct, set the environment variable {LIMIT}'
        )


def read_image(path: str, backend_args: dict | None = None) -> np.ndarray:
    """Read an image; used everywhere, from data checks to training.

    Like OpenCV and mmseg's ``LoadImageFromFile``: converts grey and palette to
    colour, drops alpha, applies the EXIF orientation, and keeps the upper 8 of
    16 bits.

    Args:
        path: The image.
        backend_args: Arguments of mmengine's file backend.

    Returns:
        uint8 (H, W, 3), BGR.

    Raises:
        MissingFileError: There is no such file.
        UserError: It is damaged, too large, or OpenCV cannot decode it.
    """
    try:
        content = fileio.get(path, backend_args=backend_args)
    except FileNotFoundError as error:
        raise MissingFileError(f'{path}: image not found') from error
    return decode_image(content, path)


def decode_image(
    content: bytes, path: str, flags: int = cv2.IMREAD_COLOR
) -> np.ndarray:
    """Decode the bytes of an image, as `read_image` does.

    Raises:
        UserError: It is damaged, too large or of an unsupported kind.
    """
    check_png(content, path)
    image = imdecode(content, flags)
    if image is None:
        if _is_too_large(content):
            raise TooLargeError(path)
        raise UserError(
            f'{path}: cannot be decoded, expected an 8-bit or 16-bit image'
        )
    return image


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of a PNG's chunks.

    Args:
        content: Bytes of any file; other formats have no chunks.
    """
    start = len(PNG) if content.startswith(PNG) else len(content)
    while start < len(content):
        length = int.from_bytes(content[start : start + 4], 'big')
        name = content[start + 4 : start + 8]
        yield name, start, start + length + AROUND
        if name == b'IEND':
            return
        start += length + AROUND


def check_png(content: bytes, path: str = '') -> None:
    """Verify a PNG's checksums, which OpenCV ignores.

    Args:
        content: The bytes of any file.
        path: Its name, for the error, unless the caller adds it.

    Raises:
        DamagedPngError: It is a truncated or altered PNG.
    """
    view, last = memoryview(content), b''
    damaged = f'{path and path + ": "}a damaged PNG'
    for name, start, end in png_chunks(content):
        if end > len(content):
            raise DamagedPngError(f'{damaged} (cut short)')
        checksum = int.from_bytes(view[end - 4 : end], 'big')
        if zlib.crc32(view[start + 4 : end - 4]) != checksum:
            raise DamagedPngError(f'{damaged} (wrong checksum)')
        last = name
    if content.startswith(PNG) and last != b'IEND':
        raise DamagedPngError(f'{damaged} (cut short)')


def chunk_overruns(content: bytes) -> bool:
    """Return whether a PNG chunk claims to exceed the file.

    OpenCV allocates and clears the claimed size, up to 4 GB.

    Args:
        content: The bytes of any file.
    """
    chunks = png_chunks(content)
    return any(end - start > len(content) for _, start, end in chunks)


def imdecode(content: bytes, flags: int) -> np.ndarray | None:
    """Decode an image with OpenCV.

    Args:
        content: The bytes of the file.
        flags: Flags of ``cv2.imdecode``.

    Returns:
        The image, or None on any failure; OpenCV raises multi-line errors for
        empty buffers and sizes beyond its limit.
    """
    if not content or chunk_overruns(content) or _is_too_large(content):
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        return None


def _is_too_large(content: bytes) -> bool:
    try:
        with open_image(content):
            return False
    except TooLargeError:
        return True
    except Exception:  # unknown to Pillow, so OpenCV decides
        return False


def is_lossy(image: Image.Image, head: bytes) -> bool:
    """Return whether a format is lossy, so that it cannot hold ids.

    Args:
        image: The image, opened.
        head: The first bytes of its file.
    """
    if image.format == 'WEBP':
        return b'VP8 ' in head[:HEAD]
    if image.format == 'TIFF':
        return image.info.get('compression') in LOSSY_TIFF
    return image.format in LOSSY


@contextmanager
def open_image(file: bytes | Path | IO[bytes]) -> Iterator[Image.Image]:
    """Open an image with Pillow and unify its errors.

    Args:
        file: A path, an open file or its bytes; text chunks of bytes are not
            read.

    Raises:
        TooLargeError: It claims too many pixels.
        OSError: It is not an image, is damaged, or claims a size that exceeds
            memory.
        SyntaxError: It is a damaged PNG.
    """
    if isinstance(file, bytes):
        chunks = [(0, len(PNG))] if file.startswith(PNG) else [(0, len(file))]
        chunks += [(a, b) for n, a, b in png_chunks(file) if n not in UNREAD]
        file = BytesIO(b''.join(file[a:b] for a, b in chunks))
    try:
        with Image.open(file) as image:
            yield image
    except Image.DecompressionBombError as error:
        raise TooLargeError from error
    # Also what decoders raise for invalid numbers.
    except (ValueError, OverflowError, MemoryError) as error:
        raise OSError(str(error) or type(error).__name__) from error


@contextmanager
def open_label(content: bytes) -> Iterator[Image.Image]:
    """Open a label map with `open_image`.

    Raises:
        OSError: It is not an image, or of a lossy format.
        SyntaxError: It is a damaged PNG.
    """
    with open_image(content) as image:
        if is_lossy(image, content):
            raise OSError(f'{image.format} is lossy, expected ids in PNG')
        yield image


def read_index(path: str, backend_args: dict | None = None) -> np.ndarray:
    """Read an 8-bit grey or palette PNG; a palette's index is the id.

    Pillow keeps the index; OpenCV expands a palette to colours.

    Args:
        path: The label file.
        backend_args: Arguments of mmengine's file backend.

    Returns:
        Ids, uint8 (H, W), read-only.

    Raises:
        UserError: The file is an image of another kind.
        OSError, SyntaxError: It is not an image or is damaged.
    """
    raw = fileio.get(path, backend_args=backend_args)
    # Decoding does not verify a PNG's checksums.
    check_png(raw)
    with open_label(raw) as image:
        if image.mode not in ('L', 'P'):
            raise UserError(
                f'{path}: expected one id per pixel, an 8-bit grey or palette '
                f'image, found mode {image.mode}: colours are not ids, so use '
                'the published label file, not a colour-coded copy'
            )
        return np.asarray(image)


def read_red16(path: str, backend_args: dict | None = None) -> np.ndarray:
    """Read the red channel of a 16-bit RGB PNG, without loss of bits.

    Args:
        path: The label file.
        backend_args: Arguments of mmengine's file backend.

    Returns:
        Ids, uint16 (H, W).

    Raises:
        UserError: The file is an image of another kind.
        OSError: It is not an image or is damaged.
    """
    raw = fileio.get(path, backend_args=backend_args)
    check_png(raw)
    image = imdecode(raw, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise UnidentifiedImageError('OpenCV cannot decode it')
    if image.dtype != np.uint16 or image.ndim != 3:
        channels = image.shape[2] if image.ndim == 3 else 1
        raise UserError(
            f'{path}: expected the 16-bit RGB image of GT/LABELS, with the '
            f'class in the red channel, found {8 * image.itemsize} bits and '
            f'{channels} channel(s): GT/COLOR and 8-bit copies hold no ids'
        )
    red = 2  # OpenCV's order is BGR
    return cv2.extractChannel(image, red)
