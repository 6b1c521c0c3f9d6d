# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from pathlib import Path

from .errors import UserError


def read_json(path: Path) -> dict:
    """Read a note, a JSON object in a file.

    Raises:
        UserError: It cannot be read, or is something else.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeError) as error:
        raise UserError(f'{path}: not readable as JSON ({error})') from error
    return parse_json(text, path)


def parse_json(text: str, path: Path) -> dict:
    """Read a JSON object that is in a file.

    Args:
        text: The object.
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
