# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Checks of image and label files without decoding them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from zipfile import ZipExtFile

import cv2
from mmengine import fileio
from PIL import Image

from mmseg_cag.datasets.transforms.loading import alike
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.images import (
    HEAD,
    imdecode,
    is_lossy,
    open_image,
    read_image,
)
from mmseg_cag.fileio.zip_backend import open_file

from .finding import Finding
from .label_reader import LabelReader

PNG_DEPTH = 24  # byte of a PNG with its bit depth
TAIL = 1024  # bytes in which the end marker is searched first
PNG_END = b'IEND\xae\x42\x60\x82'
ORIENTATION, UPRIGHT = 0x112, (5, 6, 7, 8)  # an EXIF tag and its values
JPEG_START, JPEG_END = b'\xff\xda', b'\xff\xd9'  # of the pixel data
# Start of a JPEG segment; these bytes do not occur in pixel data.
JPEG_PART = re.compile(rb'\xff+([^\x00\xff\xd0-\xd7])')


@dataclass(frozen=True)
class Header:
    """Header data of an image."""

    size: tuple[int, int]  # width, height
    bands: int
    bits: int
    whole: bool
    lossy: bool = False


def read_header(path: str, backend_args: dict | None = None) -> Header:
    """Read a file's header and check for its end marker.

    Args:
        path: The image.
        backend_args: Arguments of mmengine's file backend.

    Raises:
        OSError: The file cannot be read or is not an image.
    """
    try:
        with open_file(path, backend_args) as file:
            return _header(file, file)
    except (OSError, SyntaxError) as error:
        content = fileio.get(path, backend_args=backend_args)
        with suppress(OSError, SyntaxError):
            # It may have text chunks beyond Pillow's limit.
            return _header(content, BytesIO(content))
        image = imdecode(content, cv2.IMREAD_UNCHANGED)
        if image is None:
            raise error
        bands = image.shape[2] if image.ndim == 3 else 1
        return Header(image.shape[1::-1], bands, 8 * image.itemsize, True)


def _header(source: BinaryIO | bytes, file: BinaryIO) -> Header:
    with open_image(source) as image:
        kind, mode = image.format, image.mode
        bits = 32 if mode in ('I', 'F') else 16 if '16' in mode else 8
        if kind == 'PNG':
            file.seek(PNG_DEPTH)  # Pillow opens 16-bit colour as 8-bit
            bits = file.read(1)[0]
        file.seek(0)
        lossy = is_lossy(image, file.read(HEAD))
        bands = len(image.getbands())
        size = image.size[:: -1 if _lies_on_its_side(image) else 1]
        return Header(size, bands, bits, _is_whole(file, kind), lossy)


def _lies_on_its_side(image: Image.Image) -> bool:
    """Whether EXIF rotates the image by 90 degrees, as OpenCV applies."""
    exif, raw = Image.Exif(), image.info.get('exif')
    if raw is None or image.format == 'TIFF':
        return False  # for a TIFF, Pillow's size is already rotated
    try:
        exif.load(raw)
    except Exception:  # damaged ones can raise anything
        return False
    return exif.get(ORIENTATION, 1) in UPRIGHT


def _is_whole(file: BinaryIO, kind: str | None) -> bool:
    """Whether the end marker exists, near the end or anywhere."""
    # Zip files have checksums, and searching would decompress them.
    if kind not in ('PNG', 'JPEG', 'MPO') or isinstance(file, ZipExtFile):
        return True
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL))
    content = file.read()
    if kind == 'PNG' and PNG_END in content:
        return True
    # A thumbnail has an end marker too, but before the pixels.
    end, pixels = content.rfind(JPEG_END), content.rfind(JPEG_START)
    if kind != 'PNG' and end > pixels:
        return True
    file.seek(0)
    content = file.read()  # other data may follow the end
    return PNG_END in content if kind == 'PNG' else _jpeg_ends(content)


def _jpeg_ends(content: bytes) -> bool:
    """Whether a JPEG's end marker follows its pixels."""
    position = 2  # after the start marker
    while part := JPEG_PART.search(content, position):
        if part[0].endswith(JPEG_END[1:]):
            return True
        length = content[part.end() : part.end() + 2]
        position = part.end() + int.from_bytes(length, 'big')
    return False


# Tolerated change of a scaled image's shape: translation networks round sides
# to multiples of their stride.
SHAPE_TOLERANCE = 0.01


def check_headers(
    sample: dict,
    labels: LabelReader | None,
    labelled: bool,
    backend_args: dict | None = None,
    sizes: str = 'equal',
) -> Iterator[Finding]:
    """Check an image and, if labels are read, its label.

    Args:
        sample: ``img_path`` and ``seg_map_path``.
        labels: The transform that reads labels, for their format; None if
            unknown.
        labelled: Whether the label will be read; else it is not opened.
        backend_args: Arguments of mmengine's file backend.
        sizes: Required sizes of image and label: ``equal``, ``resized`` (the
            label is, if nearly equal), or ``scaled`` (the image is a scaled
            copy of its frame).
    """
    path = sample['img_path']
    image = yield from _check_file(path, 'image', backend_args)
    if not labelled:
        return
    label_path = sample.get('seg_map_path')
    if label_path is None:
        yield Finding(
            'no label folder',
            path,
            'its label is needed, but data_prefix.seg_map_path is not set',
        )
        return
    label = yield from _check_file(
        label_path, f'label of {path}', backend_args
    )
    if image and label:
        size = image.size
        if size != label.size and size == label.size[::-1]:
            # Whether OpenCV rotates a PNG or WebP depends on its version.
            with suppress(UserError):
                size = read_image(path, backend_args).shape[1::-1]
        yield from _check_size(path, size, label_path, label.size, sizes)
    if label:
        yield from _check_form(label_path, label, labels)


def _check_file(path: str, role: str, backend_args: dict | None) -> Iterator:
    """Yield a file's faults; return its header if readable."""
    what = role.split()[0]
    if not fileio.isfile(path, backend_args=backend_args):
        if Path(path).is_symlink():
            target = os.readlink(path)
            yield Finding(
                'broken link', path, f'{role} is a broken link: {target}'
            )
        else:
            yield Finding(f'missing {what}', path, f'{role} not found')
        return None
    try:
        header = read_header(path, backend_args)
    except UserError as error:
        reason = str(error).removeprefix(f'{path}: ')
        yield Finding('unreadable file', path, reason)
        return None
    except (OSError, SyntaxError) as error:
        # Pillow's message contains the path or the file object.
        reason = str(error).split(path)[0].split(' <')[0].rstrip(" ':")
        yield Finding(
            'unreadable file',
            path,
            f'the {what} file itself is truncated or damaged: not a readable '
            f'image ({reason})',
        )
        return None
    if not header.whole:
        yield Finding(
            'truncated file',
            path,
            f'the {what} file itself is truncated: its end is missing',
        )
        return None
    if what == 'image' and header.bits > 16:
        problem = f'has {header.bits} bits per channel, expected 8 or 16'
        yield Finding('unreadable file', path, problem)
        return None
    return header


def _check_size(
    path: str,
    image: tuple[int, int],
    label_path: str,
    label: tuple[int, int],
    sizes: str,
) -> Iterator[Finding]:
    found = [f'{width}x{height}' for width, height in (label, image)]
    if sizes == 'scaled':
        if not alike(image, label, SHAPE_TOLERANCE):
            yield Finding(
                'size mismatch',
                path,
                f'expected the shape of its label, {found[0]}, found '
                f'{found[1]}',
            )
    elif label != image:
        resized = sizes == 'resized' and alike(image, label)
        yield Finding(
            'label resized' if resized else 'size mismatch',
            label_path,
            f'expected the size of its image, {found[1]}, found {found[0]}',
        )


def _check_form(
    path: str, label: Header, labels: LabelReader | None
) -> Iterator[Finding]:
    """Check a label's format, bits and channels against its transform."""
    if label.lossy:
        yield Finding('lossy labels', path, 'its format is lossy')
    wide = getattr(labels, 'bit_depth', None)
    if wide is None:
        return
    found = f'found {label.bands} channel(s) of {label.bits} bits'
    picture = label.bands > 1 if wide <= 8 else 'COLOR' in Path(path).parts
    if picture:
        yield Finding('colours as labels', path, f'expected ids, {found}')
    elif wide > 8 >= label.bits:
        yield Finding(
            'wrong bit depth', path, f'expected ids of {wide} bits, {found}'
        )
    elif wide <= 8 < label.bits:
        problem = f'{wide} bits are read, {found}'
        yield Finding('upper bits not read', path, problem)
