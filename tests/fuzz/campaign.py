# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Many inputs, in a process that may die of them."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from .readers import Reader
from .trial import CRASHED, HUNG, Outcome, reader_of, try_input

# Seconds of computing after which an input counts as a hang, and of waiting
# after which it does whatever it computes, for a machine that is busy.
COMPUTING, WAITING = 5, 120
MEMORY = 12 * 2**30
FORK = multiprocessing.get_context('fork')


def campaign(
    readers: Sequence[Reader], seed: int, numbers: range
) -> Iterator[Outcome]:
    """Try inputs, and go on after the one that ends the process.

    Args:
        readers: All of them.
        seed: The same seed makes the same inputs.
        numbers: Which inputs.
    """
    left = list(numbers)
    while left:
        outcomes = []
        for outcome in _try_until_death(readers, seed, left):
            outcomes.append(outcome)
            yield outcome
        left = left[len(outcomes) :]


def _try_until_death(
    readers: Sequence[Reader], seed: int, numbers: list[int]
) -> Iterator[Outcome]:
    mine, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(
        target=_work, args=(readers, seed, numbers, theirs), daemon=True
    )
    process.start()
    theirs.close()
    tried = 0
    try:
        while tried < len(numbers):
            if not mine.poll(WAITING):
                process.kill()
            outcome = mine.recv()
            tried += 1
            yield outcome
    except EOFError:  # the process has died of it
        process.join()
        name = reader_of(readers, numbers[tried]).name
        code = process.exitcode
        hung = code in (-signal.SIGPROF, -signal.SIGKILL)
        kind = HUNG if hung else CRASHED
        yield Outcome(numbers[tried], kind, f'{name}: ended by {code}')
    finally:
        process.kill()
        process.join()
        mine.close()


def _work(
    readers: Sequence[Reader],
    seed: int,
    numbers: list[int],
    report: Connection,
) -> None:
    """Try inputs in a process of its own; libraries' complaints are lost."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with TemporaryDirectory() as scratch:
        # Where a damaged config may lead: not to all files of the machine.
        os.chdir(scratch)
        for number in numbers:
            # The signal ends the process wherever it computes.
            signal.setitimer(signal.ITIMER_PROF, COMPUTING)
            report.send(try_input(readers, seed, number, Path(scratch)))
