# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A run in a process of its own, which can be killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

from mmseg_cag.errors import UserError

# A run takes seconds of CPU; a busy machine is another matter.
TIMEOUT = 600  # seconds
POLL = 0.002  # seconds


class Lost(Exception):
    """A run did not survive its fault."""


class Child:
    """A forked process that works, and ends as a tool of ``tools/`` does.

    Args:
        work: What it does.
        log: File that takes what it says.
    """

    def __init__(self, work: Callable[[], object], log: Path) -> None:
        self.log = log
        # What was imported before is there: no seconds of start.
        self.process = get_context('fork').Process(
            target=_run, args=(work, log)
        )
        self.process.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self) -> int:
        """Wait for the end; returns the exit code, negative by a signal."""
        self.process.join(TIMEOUT)
        if self.process.is_alive():
            self.kill()
            raise Lost(f'hung for {TIMEOUT} s: {self.tail()}')
        return self.process.exitcode

    def kill(self) -> None:
        """Kill it and what it started."""
        self.signal(signal.SIGKILL)
        self.process.join()

    def signal(self, number: int) -> None:
        """Send a signal to it and what it started."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # it has no group of its own yet
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def signal_after(self, seconds: float, number: int) -> bool:
        """Send a signal to it and what it started, at a point of its work.

        It is measured in seconds of the CPU: the same on a busy machine.

        Returns:
            Whether it was still at work.
        """
        while self.process.is_alive():
            if self.cpu_seconds() >= seconds:
                self.signal(number)
                return True
            time.sleep(POLL)
        return False

    def cpu_seconds(self) -> float:
        """Get for how long it has computed."""
        try:
            # The clock of another process, as of clock_getcpuclockid(3).
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError:  # it has ended
            return float('inf')

    def tail(self) -> str:
        """Get the last line of what it said."""
        lines = self.log.read_text(errors='replace').split('\n')
        return next((x for x in reversed(lines) if x.strip()), 'no word')


def _run(work: Callable[[], object], log: Path) -> None:
    os.setpgid(0, 0)
    sys.stdout.flush()
    with log.open('a') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = os.fdopen(1, 'w', buffering=1)
    sys.stderr = os.fdopen(2, 'w', buffering=1)
    try:
        work()
    except UserError as error:
        sys.exit(f'error: {error}')
