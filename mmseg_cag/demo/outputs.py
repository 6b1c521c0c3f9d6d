# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmseg_cag import note
from mmseg_cag.errors import UserError

NOTE = 'demo.json'


def open_folder(folder: Path, checkpoint: Path, source: Path) -> None:
    """Make the folder that results go to, or take it up again.

    A note in it says what the results are of, so that those of one network or
    input never mix with others.

    Args:
        folder: Where results go.
        checkpoint: The network.
        source: The input.

    Raises:
        UserError: It exists and is of something else.
    """
    origin = {
        'checkpoint': str(checkpoint.resolve()),
        'input': str(source.resolve()),
    }
    if folder.exists() and not folder.is_dir():
        raise UserError(f'{folder}: exists and is no folder')
    if folder.resolve().is_relative_to(source.resolve()):
        raise UserError(f'{folder}: is in the input, name another --out')
    if folder.is_dir() and any(folder.iterdir()):
        held = read_note(folder)
        if held != origin:
            other = next(k for k in origin if held.get(k) != origin[k])
            raise UserError(
                f'{folder}: holds results of another {other}, '
                f'{held.get(other)}; name another --out'
            )
    folder.mkdir(parents=True, exist_ok=True)
    note.write_note(folder / NOTE, origin)


def read_note(folder: Path) -> dict:
    """Read what the results in a folder are of.

    Raises:
        UserError: The folder has no such note.
    """
    try:
        return note.read_note(folder / NOTE)
    except UserError as error:
        raise UserError(
            f'{folder}: exists from something else, no {NOTE} of this '
            'command is in it; name another --out'
        ) from error
