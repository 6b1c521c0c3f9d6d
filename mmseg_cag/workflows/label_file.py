# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""One label file turned into one of train ids, in full or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mmseg_cag.datasets.transforms.loading import LoadLabelIds
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.images import open_image
from mmseg_cag.fileio.json_file import parse_note

# legend: H W image

# The PNG text in which an output says what it was made of.
RECORD = 'mmseg_cag'
PNG_END = b'\x00\x00\x00\x00IEND\xaeB`\x82'


def convert_file(
    loader: LoadLabelIds, source: Path, target: Path
) -> tuple[dict[int, int], bool]:
    """Write a label file as train ids, unless that was done before.

    Args:
        loader: Reads the source.
        source: A label file of raw ids.
        target: The file of train ids, 8-bit grey.

    Returns:
        Pixels by train id, and whether the file was written now.

    Raises:
        UserError: The source is no label file, or the target is not ours.
        OSError: A file cannot be read or written.
    """
    status = source.stat()
    origin = {
        'ids': loader.ids,
        'bytes': status.st_size,
        'changed_ns': status.st_mtime_ns,
    }
    record = _read_record(target)
    if record and record.get('origin') == origin:
        return _as_counts(record['pixels']), False
    ids = loader.read_ids(str(source))
    labels = loader.map_ids(ids, str(source))
    counts = np.bincount(labels.ravel()).tolist()
    pixels = {
        train_id: count for train_id, count in enumerate(counts) if count
    }
    _write(target, labels, {'origin': origin, 'pixels': pixels})
    return pixels, True


def _write(target: Path, labels: np.ndarray, record: dict) -> None:
    """Save train ids (H, W) beside the target, then rename."""
    text = PngInfo()
    text.add_text(RECORD, json.dumps(record))
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f'{target.name}.part')
    with part.open('wb') as file:
        Image.fromarray(labels).save(file, 'PNG', pnginfo=text)
    os.replace(part, target)


def _read_record(target: Path) -> dict | None:
    """Read what a complete output says of itself; None if there is none.

    Raises:
        UserError: Another program wrote the file.
    """
    if target.is_symlink():
        raise UserError(f'{target}: is a symlink, expected a file or nothing')
    if not target.exists():
        return None
    try:
        with open_image(target) as image:
            text = image.info.get(RECORD)
    except (OSError, SyntaxError):  # no image, so no one's labels
        return None
    if text is None:
        raise UserError(
            f'{target}: was not written by this converter and is left as it '
            'is: remove it, or give another --out-dir'
        )
    if not _ends(target):
        return None
    record = parse_note(text, target)
    pixels = record.get('pixels')
    if not isinstance(pixels, dict) or not all(
        train_id.isdecimal() and isinstance(count, int)
        for train_id, count in pixels.items()
    ):
        raise UserError(f'{target}: its record counts no pixels, remove it')
    return record


def _ends(path: Path) -> bool:
    """Check that a PNG was written to its end."""
    with path.open('rb') as file:
        file.seek(-min(len(PNG_END), path.stat().st_size), os.SEEK_END)
        return file.read() == PNG_END


def _as_counts(pixels: dict[str, int]) -> dict[int, int]:
    return {int(train_id): count for train_id, count in pixels.items()}
