# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Signals that ask a run to stop, and the processes that load its data."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children
from multiprocessing.queues import Queue
from multiprocessing.util import Finalize
from pathlib import Path
from types import FrameType
from typing import Any

from mmengine.logging import print_log
from torch.utils.data import DataLoader

from mmseg_cag.errors import UserError, escape_control_chars

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A launcher passes on what a process may have been sent already.
ECHO = 1.0  # seconds
PATIENCE = 30.0  # seconds that a step may take before a request is called late
MESSAGE = (
    b'\nFinishing this step, then saving. Press Ctrl-C again to quit now.\n'
)
LATE = (
    b'\nThe step has not ended yet, so nothing of it is saved. Press Ctrl-C '
    b'again to quit now, as of the last checkpoint.\n'
)
SHARED = Path('/dev', 'shm')  # by which workers hand batches over, on Linux
BATCH_TIMEOUT = 600  # seconds; a dataloader's own timeout goes first
# What a loop over batches may end with where a worker has died: torch's own
# error, or, as it hands a batch over, one of the connection to it.
WORKER_FAULTS = (RuntimeError, ConnectionError, EOFError, FileNotFoundError)


class Interrupted(BaseException):
    """The wait for a batch ends, for a request to stop."""


class StopSignals:
    """Note the first signal; a later one ends the process at once.

    Attributes:
        signal: Name of the signal, None if there was none.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        self._time = 0.0
        self._before: dict[int, Any] = {}
        self._waits = False
        self._late = threading.Timer(PATIENCE, os.write, (2, LATE))
        self._late.daemon = True

    def listen(self) -> None:
        """Take the signals; only the main thread of a process can."""
        if threading.current_thread() is not threading.main_thread():
            print_log(
                'Training in a thread that is not the main one: signals do '
                'not stop it, nor save it',
                'current',
                logging.WARNING,
            )
            return
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._note)

    def end(self) -> None:
        """Leave the signals to whom they were before."""
        self._late.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let a signal break off what is done within.

        Raises:
            Interrupted: A signal came, now or before.
        """
        self._waits = True
        try:
            if self.signal:
                raise Interrupted
            yield
        finally:
            self._waits = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number).name
            self._time = time.monotonic()
            # A log could be in the middle of a line.
            os.write(2, MESSAGE)
            self._late.start()
            if self._waits:
                raise Interrupted
        elif time.monotonic() - self._time > ECHO:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def guard_workers(loader: DataLoader) -> None:
    """Let worker processes live through signals, but not hang.

    They end with the process that started them, however that ends. One that
    cannot hand a batch over ends at once; one that does not answer is given
    up after the loader's ``timeout``, 10 minutes where it has none.

    Args:
        loader: Data loader whose workers have not started yet.
    """
    if not loader.num_workers:
        return
    loader.worker_init_fn = partial(_init_worker, loader.worker_init_fn)
    loader.timeout = loader.timeout or BATCH_TIMEOUT
    # As this process exits it asks them by a signal to end, then waits.
    Finalize(None, kill_workers, exitpriority=0)


def raise_worker_fault(error: Exception) -> None:
    """Tell in one line that workers do not deliver; else raise it again.

    Args:
        error: What ended a loop over batches, of `WORKER_FAULTS`.

    Raises:
        UserError: They died, or a batch did not come in time.
    """
    # A worker may close its connection first, then end: torch's error of its
    # end would come in the middle of what follows.
    _let_workers_end()
    told = str(error).partition('\n')[0].rstrip('.')
    frames = traceback.extract_tb(error.__traceback__)
    if any(Path(f.filename).name == 'resource_sharer.py' for f in frames):
        told = f'DataLoader worker ended as it handed a batch over ({told})'
    if not told.startswith('DataLoader '):
        raise error
    kill_workers()
    free = shared_memory()
    room = '' if free is None else f'; {SHARED} has {free >> 20} MiB free'
    raise UserError(
        f'{told}{room}; expected each batch within the timeout of its '
        'dataloader, see what its workers said above; num_workers=0 loads '
        'without them'
    ) from error


def shared_memory() -> int | None:
    """Count the free bytes of shared memory; None where it has no limit."""
    return shutil.disk_usage(SHARED).free if SHARED.is_dir() else None


def _init_worker(init: Callable | None, worker: int) -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # It would drop the batch, and all would wait for it.
    Queue._on_queue_feeder_error = staticmethod(_end_worker)
    if init is not None:
        init(worker)


def _end_worker(error: Exception, batch: object) -> None:
    line = f'A batch cannot be handed over: {escape_control_chars(error)}\n'
    try:
        os.write(2, line.encode(errors='replace'))
    finally:
        os._exit(1)


def kill_workers() -> None:
    """End the workers at once; one that is silent would be waited for."""
    _let_workers_end()
    for child in active_children():
        if child.daemon:
            child.kill()


def _let_workers_end() -> None:
    """Keep torch from raising an error, wherever one is, as a worker ends."""
    if hasattr(signal, 'SIGCHLD'):  # not on Windows
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
