# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Metadata of a pseudo label folder: origin and selection rule."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from mmseg_cag.errors import UserError
from mmseg_cag.fileio import json_file

METADATA = 'pseudo_labels.json'


def read_metadata(folder: Path) -> dict:
    """Read the metadata of a folder.

    Raises:
        UserError: It is damaged, or is not about pseudo labels.
    """
    path = folder / METADATA
    metadata = json_file.read_json(path)
    if not isinstance(metadata.get('origin'), dict):
        raise UserError(f'{path}: has no origin, expected an object')
    if 'classes' in metadata:
        _check_classes(metadata, path)
    return metadata


def _check_classes(metadata: dict, path: Path) -> None:
    classes = metadata['classes']
    if not isinstance(classes, dict) or not isinstance(
        metadata.get('ignore_index'), int
    ):
        raise UserError(
            f'{path}: expected classes, an object keyed by name, and '
            'ignore_index, a number'
        )


@lru_cache
def find_metadata(folder: Path) -> dict:
    """Read the metadata of a folder or a parent folder.

    Folders of ground truth have none, which distinguishes them.

    Args:
        folder: Folder of a label.

    Raises:
        UserError: It is missing, or the labels are unfinished.
    """
    for place in (folder, *folder.parents):
        if (place / METADATA).is_file():
            metadata = read_metadata(place)
            if 'classes' not in metadata:
                raise UserError(f'{place}: unfinished pseudo labels')
            return metadata
    raise UserError(
        f'{folder}: no {METADATA} there or above, so these are not pseudo '
        'labels; expected a folder of tools/make_pseudo_labels.py'
    )
