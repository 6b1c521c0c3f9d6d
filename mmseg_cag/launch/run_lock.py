# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Locks that allow one run at a time in a folder."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mmengine.config import Config

from mmseg_cag.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = '.lock'
# Environment variables with a process's rank, before the group exists.
RANKS = {
    'pytorch': 'RANK',
    'slurm': 'SLURM_PROCID',
    'mpi': 'OMPI_COMM_WORLD_RANK',
}


def require_locks() -> None:
    """Check that this system supports folder locks, for training.

    Raises:
        UserError: They cannot.
    """
    if fcntl is None:
        raise UserError(
            f'training on {sys.platform}: not supported, expected Linux or '
            'macOS (docs/platforms.md)'
        )


@contextmanager
def locked(runs: Iterable[Config]) -> Iterator[None]:
    """Lock the work dirs of runs, on the first rank for all.

    A lock is released when its process ends, in any way.

    Args:
        runs: Configs of the runs to train.

    Raises:
        UserError: A folder is in use or not writable.
    """
    with ExitStack() as stack:
        for run in runs:
            if is_first_rank(run.launcher):
                stack.enter_context(_locked(Path(run.work_dir)))
        yield


def is_first_rank(launcher: str) -> bool:
    """Return whether this process is the one that writes."""
    return os.environ.get(RANKS.get(launcher, ''), '0') == '0'


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open('a+')
    except OSError as error:
        raise UserError(
            f'{folder}: cannot be written to ({error.strerror}), expected a '
            'folder for the results'
        ) from error
    with file:
        try:
            # A record lock, which forked workers do not inherit.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise UserError(
                f'{folder}: is in use by {file.read() or "another run"}, '
                'expected no other run in it'
            ) from error
        _sign(file, folder)
        yield


def _sign(file: object, folder: Path) -> None:
    """Write the owner of the lock, which also tests the disk."""
    try:
        file.truncate(0)
        file.write(f'process {os.getpid()} on {socket.gethostname()}')
        file.flush()
    except OSError as error:
        raise UserError(
            f'{folder}: cannot be written to ({error.strerror}), expected '
            'free space for the results'
        ) from error
