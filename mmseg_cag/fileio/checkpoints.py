# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The checkpoints in a run's folder."""

from __future__ import annotations

import hashlib
import logging
import re
import struct
import zlib
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from mmengine.logging import print_log

from mmseg_cag.errors import MissingFileError, UserError

from .atomic import draft_of

LAST_CHECKPOINT = 'last_checkpoint'
NUMBERED = re.compile(r'(?:iter|epoch)_(\d+)\.pth')
BEST = 'best*.pth'


def numbered(folder: str | Path) -> list[Path]:
    """List the checkpoints of a folder, the earliest iteration first.

    By their numbers: times of files are wrong after a clock has jumped.
    """
    found = [
        (int(match[1]), path)
        for path in Path(folder).glob('*.pth')
        if (match := NUMBERED.fullmatch(path.name))
    ]
    return [path for _, path in sorted(found)]


def latest_valid_checkpoint(folder: str | Path) -> Path | None:
    """Find the newest checkpoint that a run can go on from.

    That is what ``last_checkpoint`` names or, where it is damaged, one
    before; each that is passed over is warned of.

    Args:
        folder: The run's.

    Returns:
        Its path, None where the folder has no checkpoint.

    Raises:
        MissingFileError: A checkpoint is named, and there is none.
        UserError: None is whole.
    """
    found = numbered(folder)
    named = _named(Path(folder))
    if named in found:
        # What has a higher number is of a save that did not come to its end.
        found = found[: found.index(named) + 1]
    elif named and not found:
        raise MissingFileError(
            f'{Path(folder, LAST_CHECKPOINT)}: names {named.name}, not found'
        )
    for path in reversed(found):
        fault = find_corruption(path)
        if fault is None:
            return path
        print_log(
            f'{path}: passed over, it is damaged ({fault})',
            'current',
            logging.WARNING,
        )
    if found:
        raise UserError(
            f'{folder}: none of its {len(found)} checkpoints is whole, '
            'expected one to go on from; move it away to train anew'
        )
    return None


def _named(folder: Path) -> Path | None:
    try:
        text = (folder / LAST_CHECKPOINT).read_text(errors='replace').strip()
    except FileNotFoundError:
        return None
    # By its name alone: the folder may have been moved since.
    name = text.rpartition('/')[2]
    return folder / name if NUMBERED.fullmatch(name) else None


def archive_previous(folder: str | Path) -> Path | None:
    """Move an earlier run's checkpoints out of the way of a new run's.

    Args:
        folder: The run's.

    Returns:
        The folder within it where they are now, None if there were none.
    """
    folder = Path(folder)
    old = [*numbered(folder), *folder.glob(BEST)]
    (folder / LAST_CHECKPOINT).unlink(missing_ok=True)
    if not old:
        return None
    number = 1
    while (aside := folder / f'before_{number}').exists():
        number += 1
    aside.mkdir()
    for path in old:
        path.rename(aside / path.name)
    return aside


def remove_drafts(folder: str | Path) -> None:
    """Remove what a killed run was writing."""
    for path in Path(folder).glob(draft_of(Path('*.pth')).name):
        path.unlink()


# What zipfile raises on a file that is cut or altered anywhere.
DAMAGE = (
    BadZipFile,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)


def find_corruption(path: str | Path) -> str | None:
    """Find out whether a checkpoint is whole, running nothing that is in it.

    A file of ``torch.save`` is a zip file and has a checksum of each of its
    tensors; all of it is read once.

    Args:
        path: The file.

    Returns:
        What is wrong with it, None if nothing is.
    """
    try:
        with ZipFile(path) as archive:
            damaged = archive.testzip()
    except DAMAGE as error:
        return str(error) or type(error).__name__
    return f'{damaged} in it is damaged' if damaged else None


BLOCK = 2**20  # bytes read at a time


def checkpoint_hash(path: str | Path) -> str:
    """Compute the SHA-256 of a checkpoint, by which what it made is known.

    Args:
        path: The file.

    Raises:
        MissingFileError: There is no such file.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path}: checkpoint not found')
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
