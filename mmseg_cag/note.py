# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Notes in JSON: what a folder holds, and who made it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from mmseg_cag.errors import UserError


def write_note(path: Path, note: dict) -> None:
    """Write a note, in full or not at all."""
    draft = path.with_name(f'{path.name}.part')
    draft.write_text(json.dumps(note, indent=1) + '\n')
    os.replace(draft, path)


def read_note(path: Path) -> dict:
    """Read a note.

    Raises:
        UserError: It is damaged.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f'{path}: not readable as JSON ({error})') from error
