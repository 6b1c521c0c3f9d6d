# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Programs that a step starts, and how they end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

# Seconds that a training has to finish its step and to save.
GRACE = 20.0
# A log shows a line when it is written.
SETTINGS = {'PYTHONUNBUFFERED': '1'}


def run_tool(name: str, tool: Path, *options: str | Path) -> None:
    """Run a tool in a process that ends with this one, workers included.

    Whatever ends the wait for it, such as a signal, has the tool finish its
    step and save; after 20 seconds, or a second signal, it is killed.

    Args:
        name: What the user knows the work by.
        tool: The program.
        options: Its command line.

    Raises:
        SystemExit: It failed.
    """
    child = subprocess.Popen(
        [sys.executable, tool, *options],
        env={**SETTINGS, **os.environ},
        # A group of its own, which can be ended as a whole.
        start_new_session=True,
    )
    try:
        code = child.wait()
    finally:
        _end(child)
    if code:
        raise SystemExit(f'{name}: failed, see the error above')


def _end(child: subprocess.Popen) -> None:
    try:
        if child.poll() is None:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def exit_on_signals() -> None:
    """Have SIGTERM, SIGINT and a closed terminal end this process in order.

    What is open is closed and what was started is ended; the exit code is
    128 and the signal's number.
    """
    signals = [signal.SIGTERM, signal.SIGINT]
    closed = getattr(signal, 'SIGHUP', None)  # none on Windows
    if closed and signal.getsignal(closed) != signal.SIG_IGN:  # by nohup
        signals.append(closed)
    for number in signals:
        signal.signal(number, _exit)


def _exit(number: int, frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    # A log could be in the middle of a line.
    os.write(2, f'\n{name}: ends; the same command goes on\n'.encode())
    raise SystemExit(128 + number)
