# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The note in a folder of pseudo labels: who made them, and by what rule."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from mmseg_cag.errors import UserError
from mmseg_cag.fileio import json_file as notes

NOTE = 'pseudo_labels.json'


def read_note(folder: Path) -> dict:
    """Read the note of a folder.

    Raises:
        UserError: It is damaged, or tells of no pseudo labels.
    """
    path = folder / NOTE
    note = notes.read_note(path)
    if not isinstance(note.get('origin'), dict):
        raise UserError(f'{path}: has no origin, expected an object')
    if 'classes' in note:
        _check_classes(note, path)
    return note


def _check_classes(note: dict, path: Path) -> None:
    classes = note['classes']
    if not isinstance(classes, dict) or not isinstance(
        note.get('ignore_index'), int
    ):
        raise UserError(
            f'{path}: expected classes, an object by their names, and '
            'ignore_index, a number'
        )


@lru_cache
def note_above(folder: Path) -> dict:
    """Read the note of a folder or of one that it is in.

    A folder of true labels has none: that is how the two are told apart.

    Args:
        folder: Where a label lies.

    Raises:
        UserError: There is none, or it is of unfinished labels.
    """
    for place in (folder, *folder.parents):
        if (place / NOTE).is_file():
            note = read_note(place)
            if 'classes' not in note:
                raise UserError(f'{place}: unfinished pseudo labels')
            return note
    raise UserError(
        f'{folder}: no {NOTE} there or above, so these are no pseudo labels; '
        'expected a folder of tools/make_pseudo_labels.py'
    )
