# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Checkpoints in a run's folder: finding, validating, archiving."""

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
# Comparisons with the initial network.
LOOKS, BEFORE = 'do_no_harm.jsonl', 'before_adaptation.npz'
CHOICE = ('best*.pth', LOOKS, BEFORE)


def numbered(folder: str | Path) -> list[Path]:
    """List the checkpoints of a folder by iteration.

    Sorted by number: file times are wrong after a clock change.
    """
    found = [
        (int(match[1]), path)
        for path in Path(folder).glob('*.pth')
        if (match := NUMBERED.fullmatch(path.name))
    ]
    return [path for _, path in sorted(found)]


def latest_valid_checkpoint(folder: str | Path) -> Path | None:
    """Find the newest checkpoint that a run can resume from.

    This is the one named in ``last_checkpoint`` or, if it is damaged, an
    earlier one. Logs a warning for each skipped one.

    Args:
        folder: The run's folder.

    Returns:
        Its path; None if the folder has no checkpoint.

    Raises:
        MissingFileError: The named checkpoint does not exist.
        UserError: None is valid.
    """
    found = numbered(folder)
    named = _named(Path(folder))
    if named in found:
        # Higher numbers are from saves that did not finish.
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
            f'{path}: skipped, it is damaged ({fault})',
            'current',
            logging.WARNING,
        )
    if found:
        raise UserError(
            f'{folder}: none of its {len(found)} checkpoints is intact, '
            'expected one to resume from; move it away to retrain'
        )
    return None


def _named(folder: Path) -> Path | None:
    try:
        text = (folder / LAST_CHECKPOINT).read_text(errors='replace').strip()
    except FileNotFoundError:
        return None
    # By name only: the folder may have been moved since.
    name = text.rpartition('/')[2]
    return folder / name if NUMBERED.fullmatch(name) else None


def archive_previous(folder: str | Path) -> Path | None:
    """Move an earlier run's checkpoints and choice into an archive folder.

    Args:
        folder: The run's folder.

    Returns:
        The archive folder in it; None if there were none.
    """
    folder = Path(folder)
    old = [*numbered(folder), *(p for n in CHOICE for p in folder.glob(n))]
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
    """Remove the drafts of a killed run."""
    for path in Path(folder).glob(draft_of(Path('*.pth')).name):
        path.unlink()


# Errors that zipfile raises for truncated or altered files.
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
    """Check whether a checkpoint is intact, without running its code.

    Files of ``torch.save`` are zip files with a checksum per tensor; reads the
    whole file once.

    Args:
        path: The file.

    Returns:
        A description of the fault, or None.
    """
    try:
        with ZipFile(path) as archive:
            damaged = archive.testzip()
    except DAMAGE as error:
        return str(error) or type(error).__name__
    return f'{damaged} in it is damaged' if damaged else None


BLOCK = 2**20  # bytes read at a time


def checkpoint_hash(path: str | Path) -> str:
    """Compute the SHA-256 of a checkpoint, which identifies its outputs.

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
