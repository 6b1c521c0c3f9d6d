# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Everything that can be said of an image and its label without decoding."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zipfile import ZipExtFile

from mmengine import fileio

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.images import open_image
from mmseg_cag.fileio.zip_backend import open_file

from .finding import Finding
from .label_reader import LabelReader

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


# By how much the shape of a scaled image may differ: networks that translate
# round its sides to multiples of what they shrink by.
SHAPE_TOLERANCE = 0.01


def check_headers(
    sample: dict,
    labels: LabelReader | None,
    labelled: bool,
    backend_args: dict | None = None,
    scaled: bool = False,
) -> Iterator[Finding]:
    """Check one image and, where labels are read, its label.

    Args:
        sample: ``img_path`` and ``seg_map_path``.
        labels: The step that reads labels, for their form; None if unknown.
        labelled: Whether the label will be read; else it is not touched.
        backend_args: Arguments of mmengine's file backend.
        scaled: Whether the image may be a scaled copy of its frame.
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
            'its label is to be read, but data_prefix.seg_map_path is not set',
        )
        return
    label = yield from _check_file(
        label_path, f'label of {path}', backend_args
    )
    if image and label:
        yield from _check_size(path, image, label_path, label, scaled)
    if label and labels:
        yield from _check_form(label_path, label, labels)


def _check_file(path: str, role: str, backend_args: dict | None) -> Iterator:
    """Yield what is wrong with a file; returns its header if readable."""
    what = role.split()[0]
    if not fileio.isfile(path, backend_args=backend_args):
        if Path(path).is_symlink():
            target = os.readlink(path)
            yield Finding(
                'broken link', path, f'{role} is a link to nowhere: {target}'
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
        # Pillow's message repeats the path, or shows the open file.
        reason = str(error).split(path)[0].split(' <')[0].rstrip(" ':")
        yield Finding(
            'unreadable file',
            path,
            f'the {what} file itself is truncated or damaged: it is no '
            f'readable image ({reason})',
        )
        return None
    if not header.whole:
        yield Finding(
            'truncated file',
            path,
            f'the {what} file itself is truncated: its end is missing',
        )
        return None
    return header


def _check_size(
    path: str, image: Header, label_path: str, label: Header, scaled: bool
) -> Iterator[Finding]:
    if label.size == image.size:
        return
    found = [f'{width}x{height}' for width, height in (label.size, image.size)]
    if not scaled:
        yield Finding(
            'size mismatch',
            label_path,
            f'expected the size of its image, {found[1]}, found {found[0]}',
        )
        return
    shapes = [width / height for width, height in (image.size, label.size)]
    if abs(shapes[0] / shapes[1] - 1) > SHAPE_TOLERANCE:
        yield Finding(
            'size mismatch',
            path,
            f'expected the shape of its label, {found[0]}, found {found[1]}',
        )


def _check_form(
    path: str, label: Header, labels: LabelReader
) -> Iterator[Finding]:
    """Check bits and channels of a label against what its step reads."""
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
