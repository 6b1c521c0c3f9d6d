# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Images: which files of a folder they are, and how they are read."""

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
AROUND = 12  # bytes of a chunk beside its content: length, name, checksum
# What Pillow would unpack for nothing, and refuses where it is large.
UNREAD = (b'tEXt', b'zTXt', b'iTXt', b'iCCP')
HEAD = 4096  # bytes within which a WebP file says how it was saved
LOSSY = ('JPEG', 'MPO', 'JPEG2000', 'AVIF')
LOSSY_TIFF = ('jpeg', 'tiff_jpeg', 'webp', 'jpeg2000')
# Pixels of the largest image that is read. OpenCV obeys the same variable,
# and reads 2**30 at most where it is not set.
LIMIT = 'OPENCV_IO_MAX_IMAGE_PIXELS'
_set = os.environ.get(LIMIT, '')
MAX_PIXELS = int(_set) if _set.isdigit() else 2**28
# Pillow warns from its number on and refuses from twice that on.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
warnings.simplefilter('ignore', Image.DecompressionBombWarning)
# Of one text, too, for the steps that hand a file to Pillow as it is.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


# Folders that systems make by themselves, beside those that begin with a dot.
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
    """Tell whether a file or one of the folders in its name is hidden.

    Args:
        name: Relative to a folder, which itself may be hidden.
    """
    parts = PurePath(name).parts
    return any(p.startswith('.') or p in OF_SYSTEMS for p in parts)


@register_backend('local', force=True, prefixes='')
class VisibleFilesBackend(LocalBackend):
    """mmengine's local disk, of which hidden folders are not listed either.

    mmengine leaves out hidden files alone, so that the thumbnails and copies
    that notebooks and network disks keep would become images of a data set.
    """

    def list_dir_or_file(self, *args: Any, **kwargs: Any) -> Iterator[str]:
        """List files and folders as mmengine does, without hidden ones."""
        names = super().list_dir_or_file(*args, **kwargs)
        return (name for name in names if not is_hidden(name))


class DamagedPngError(UserError, OSError):
    """A file that begins as a PNG and is cut or altered."""


class TooLargeError(UserError, OSError):
    """An image of more pixels than are read."""

    def __init__(self, path: str = '') -> None:
        super().__init__(
            f'{path and path + ": "}has more than {MAX_PIXELS} pixels; if it '
            f'is what it says, set the environment variable {LIMIT}'
        )


def read_image(path: str, backend_args: dict | None = None) -> np.ndarray:
    """Read an image, the one way for the check, training and all the rest.

    As OpenCV and mmseg's ``LoadImageFromFile`` do: grey and palette become
    colours, alpha is dropped, the picture is turned as its EXIF tag says, and
    of 16 bits the upper 8 remain.

    Args:
        path: The image.
        backend_args: Arguments of mmengine's file backend.

    Returns:
        uint8 (H, W, 3), blue first.

    Raises:
        MissingFileError: There is no such file.
        UserError: It is damaged, too large, or of a kind that OpenCV cannot
            decode to this.
    """
    try:
        content = fileio.get(path, backend_args=backend_args)
    except FileNotFoundError as error:
        raise MissingFileError(f'{path}: no such image') from error
    return decode_image(content, path)


def decode_image(
    content: bytes, path: str, flags: int = cv2.IMREAD_COLOR
) -> np.ndarray:
    """Decode the bytes of an image, as `read_image` does.

    Raises:
        UserError: It is damaged, too large or of another kind.
    """
    check_png(content, path)
    image = imdecode(content, flags)
    if image is None:
        if _is_too_large(content):
            raise TooLargeError(path)
        raise UserError(
            f'{path}: cannot be decoded, expected an image of 8 or 16 bits'
        )
    return image


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """List name, begin and end of the parts of a PNG, whatever follows it.

    Args:
        content: The bytes of any file; one that is no PNG has none.
    """
    start = len(PNG) if content.startswith(PNG) else len(content)
    while start < len(content):
        length = int.from_bytes(content[start : start + 4], 'big')
        name = content[start + 4 : start + 8]
        yield name, start, start + length + AROUND
        if name == b'IEND':
            return
        start += length + AROUND


def check_png(content: bytes, path: str) -> None:
    """Check a PNG against its checksums, which OpenCV leaves unread.

    Args:
        content: The bytes of any file.
        path: Its name, for the error.

    Raises:
        DamagedPngError: It is a PNG, and cut or altered.
    """
    view, last = memoryview(content), b''
    for name, start, end in png_chunks(content):
        if end > len(content):
            raise DamagedPngError(f'{path}: a damaged PNG (cut short)')
        checksum = int.from_bytes(view[end - 4 : end], 'big')
        if zlib.crc32(view[start + 4 : end - 4]) != checksum:
            raise DamagedPngError(f'{path}: a damaged PNG (wrong checksum)')
        last = name
    if content.startswith(PNG) and last != b'IEND':
        raise DamagedPngError(f'{path}: a damaged PNG (cut short)')


def chunk_overruns(content: bytes) -> bool:
    """Tell whether a PNG claims that a part of it is longer than the file.

    OpenCV allocates and clears what is claimed, up to 4 GB.

    Args:
        content: The bytes of any file.
    """
    chunks = png_chunks(content)
    return any(end - start > len(content) for _, start, end in chunks)


def imdecode(content: bytes, flags: int) -> np.ndarray | None:
    """Decode an image by OpenCV.

    Args:
        content: The bytes of the file.
        flags: Those of ``cv2.imdecode``.

    Returns:
        The image, or None if it is none, whatever OpenCV makes of it: it
        refuses an empty buffer, or a size beyond its limit, in many lines.
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
    except Exception:  # of no kind that Pillow knows, so OpenCV decides
        return False


def is_lossy(image: Image.Image, head: bytes) -> bool:
    """Tell whether a format changes what is saved, so that it holds no ids.

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
    """Open an image by Pillow, whose errors are then all of a few kinds.

    Args:
        file: A path, an open file or its bytes; of bytes no text is read.

    Raises:
        TooLargeError: It claims more pixels than are read.
        OSError: It is no image, is damaged, or claims to be of a size that
            no memory holds.
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
    # What decoders raise for numbers that make no sense, too.
    except (ValueError, OverflowError, MemoryError) as error:
        raise OSError(str(error) or type(error).__name__) from error


@contextmanager
def open_label(content: bytes) -> Iterator[Image.Image]:
    """Open a label map by `open_image`.

    Raises:
        OSError: It is none, or of a format that changes ids.
        SyntaxError: It is a damaged PNG.
    """
    with open_image(content) as image:
        if is_lossy(image, content):
            raise OSError(
                f'{image.format} changes pixels as it saves them, expected '
                'ids in PNG'
            )
        yield image


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
    # Decoding alone leaves the checksums of a PNG unread.
    check_png(raw, path)
    with open_label(raw) as image:
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
