# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Notes, objects of JSON: what a folder holds, and who made it."""

from __future__ import annotations

import json
from pathlib import Path

from mmseg_cag.errors import UserError

from .atomic import atomic_path


def write_note(path: Path, note: dict) -> None:
    """Write a note, in full or not at all."""
    with atomic_path(path) as draft:
        draft.write_text(json.dumps(note, indent=1) + '\n')


def read_note(path: Path) -> dict:
    """Read a note.

    Raises:
        UserError: It cannot be read, or is something else.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeError) as error:
        raise UserError(f'{path}: not readable as JSON ({error})') from error
    return parse_note(text, path)


def parse_note(text: str, path: Path) -> dict:
    """Read a note that is part of a file.

    Args:
        text: The note.
        path: Where it is from, for the error.

    Raises:
        UserError: It is something else.
    """
    try:
        note = json.loads(text)
    # The last where it is nested too deep.
    except (ValueError, RecursionError) as error:
        raise UserError(f'{path}: not readable as JSON ({error})') from error
    if not isinstance(note, dict):
        raise UserError(
            f'{path}: holds a JSON {type(note).__name__}, expected an object'
        )
    return note
