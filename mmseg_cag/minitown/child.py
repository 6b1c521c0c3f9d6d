# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Run a step's child programs and stop them with the step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

# Seconds for a training to finish its iteration and save.
GRACE = 20.0
# Log lines appear immediately.
SETTINGS = {'PYTHONUNBUFFERED': '1'}


def run_tool(name: str, tool: Path, *options: str | Path) -> None:
    """Run a tool in a process that, with its workers, ends with this one.

    If the wait is interrupted, such as by a signal, the tool finishes its
    iteration and saves; after 20 seconds, or a second signal, it is killed.

    Args:
        name: Name of the work for the user.
        tool: The program.
        options: Its command-line arguments.

    Raises:
        SystemExit: The tool failed.
    """
    child = subprocess.Popen(
        [sys.executable, tool, *options],
        env={**SETTINGS, **os.environ},
        # A separate process group, which can be killed as a whole.
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
    """Exit cleanly on SIGTERM, SIGINT and a closed terminal.

    Closes open files and stops child processes; the exit code is 128 plus the
    signal's number.
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
    os.write(2, f'\n{name}: stopped; rerun the command to resume\n'.encode())
    raise SystemExit(128 + number)
