# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Stop signals and protection of data loading processes."""

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
# A launcher may forward a signal that a process already received.
ECHO = 1.0  # seconds
PATIENCE = 30.0  # seconds a step may take before a pending stop is reported
MESSAGE = (
    b'\nFinishing this step, then saving. Press Ctrl-C again to quit now.\n'
)
LATE = (
    b'\nThe step has not ended yet, so nothing of it is saved. Press Ctrl-C '
    b'again to quit now, as of the last checkpoint.\n'
)
SHARED = Path('/dev', 'shm')  # where workers pass batches, on Linux
BATCH_TIMEOUT = 600  # seconds; a dataloader's own timeout takes precedence
# Errors of a batch loop when a worker dies: torch's own, or a connection error
# while it passes a batch.
WORKER_FAULTS = (RuntimeError, ConnectionError, EOFError, FileNotFoundError)
# How torch's own begin.
TOLD = ('DataLoader ', 'Pin memory thread ')


class Interrupted(BaseException):
    """Raised to abort the wait for a batch on a stop request."""


class StopSignals:
    """Record the first signal; a later one ends the process at once.

    Attributes:
        signal: Name of the received signal, or None.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        self._time = 0.0
        self._before: dict[int, Any] = {}
        self._waits = False
        self._late = threading.Timer(PATIENCE, os.write, (2, LATE))
        self._late.daemon = True

    def listen(self) -> None:
        """Install the handlers, in the main thread only."""
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
        """Restore the previous handlers."""
        self._late.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let a signal interrupt the code inside the context.

        Raises:
            Interrupted: A signal was received, now or before.
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
            # The log may be in the middle of a line.
            os.write(2, MESSAGE)
            self._late.start()
            if self._waits:
                raise Interrupted
        elif time.monotonic() - self._time > ECHO:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def guard_workers(loader: DataLoader) -> None:
    """Make worker processes ignore signals without hanging.

    They end with their parent process, however that ends. A worker that cannot
    pass a batch ends at once; an unresponsive one is abandoned after the
    loader's ``timeout``, by default 10 minutes.

    Args:
        loader: Data loader whose workers have not started.
    """
    if not loader.num_workers:
        return
    loader.worker_init_fn = partial(_init_worker, loader.worker_init_fn)
    loader.timeout = loader.timeout or BATCH_TIMEOUT
    # On exit this process signals them to end, then waits.
    Finalize(None, kill_workers, exitpriority=0)


def raise_worker_fault(error: Exception) -> None:
    """Turn a worker failure into a one-line error; re-raise others.

    Args:
        error: Error of a batch loop, one of `WORKER_FAULTS`.

    Raises:
        UserError: Workers died, or a batch timed out.
    """
    # A worker may close its connection before it ends: torch's error about its
    # end would interrupt the code below.
    _let_workers_end()
    told = str(error).partition('\n')[0].rstrip('.')
    frames = traceback.extract_tb(error.__traceback__)
    if any(Path(f.filename).name == 'resource_sharer.py' for f in frames):
        told = f'DataLoader worker ended while passing a batch ({told})'
    if not told.startswith(TOLD):
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
    """Return the free bytes of shared memory; None if unlimited."""
    return shutil.disk_usage(SHARED).free if SHARED.is_dir() else None


def _init_worker(init: Callable | None, worker: int) -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # Otherwise it would drop the batch, and everyone would wait for it.
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
    """Kill the workers: a hanging one would block the exit."""
    _let_workers_end()
    for child in active_children():
        if child.daemon:
            child.kill()


def _let_workers_end() -> None:
    """Keep torch from raising an error anywhere when a worker ends."""
    if hasattr(signal, 'SIGCHLD'):  # not on Windows
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
