# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""One run at a time in a folder."""

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
# Where launchers tell a process its rank, before any group of them is there.
RANKS = {
    'pytorch': 'RANK',
    'slurm': 'SLURM_PROCID',
    'mpi': 'OMPI_COMM_WORLD_RANK',
}


def require_locks() -> None:
    """Check that folders can be locked here, as training does.

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
    """Keep others out of runs' work dirs; the first rank does so for all.

    A lock ends with its process, however that ends.

    Args:
        runs: Configs of the runs that are to be done.

    Raises:
        UserError: Another run is in one, or it cannot be written to.
    """
    with ExitStack() as stack:
        for run in runs:
            if is_first_rank(run.launcher):
                stack.enter_context(_locked(Path(run.work_dir)))
        yield


def is_first_rank(launcher: str) -> bool:
    """Tell whether a launched process is the one that writes."""
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
            # A record lock: workers, being forked, do not hold it.
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
    """Say who holds the lock; the first bytes that the disk must take."""
    try:
        file.truncate(0)
        file.write(f'process {os.getpid()} on {socket.gethostname()}')
        file.flush()
    except OSError as error:
        raise UserError(
            f'{folder}: cannot be written to ({error.strerror}), expected '
            'room for the results'
        ) from error
