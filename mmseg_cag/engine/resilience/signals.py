# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Signals that ask a run to stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import active_children
from multiprocessing.util import Finalize
from types import FrameType
from typing import Any

from torch.utils.data import DataLoader

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A launcher passes on what a process may have been sent already.
ECHO = 1.0  # seconds
MESSAGE = (
    b'\nFinishing this step, then saving. Press Ctrl-C again to quit now.\n'
)


class StopSignals:
    """Note the first signal; a later one ends the process at once.

    Attributes:
        signal: Name of the signal, None if there was none.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        self._time = 0.0
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """Take the signals."""
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._note)

    def end(self) -> None:
        """Leave the signals to whom they were before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number).name
            self._time = time.monotonic()
            # A log could be in the middle of a line.
            os.write(2, MESSAGE)
        elif time.monotonic() - self._time > ECHO:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def ignore_signals_in_workers(loader: DataLoader) -> None:
    """Let worker processes live through signals to the whole group.

    They end with the process that started them, however that ends.

    Args:
        loader: Data loader whose workers have not started yet.
    """
    loader.worker_init_fn = partial(_init_worker, loader.worker_init_fn)
    # As this process exits it asks them by a signal to end, then waits.
    Finalize(None, _kill_workers, exitpriority=0)


def _init_worker(init: Callable | None, worker: int) -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if init is not None:
        init(worker)


def _kill_workers() -> None:
    # torch would take their end for an error.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for child in active_children():
        if child.daemon:
            child.kill()
