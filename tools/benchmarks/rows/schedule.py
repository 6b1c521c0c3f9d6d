# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Run several jobs at a time, each after its start."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

# Seconds for a training to finish its iteration and save.
GRACE = 20.0


@dataclass
class Job:
    """A piece of work for one process.

    Attributes:
        key: Unique key.
        title: Display name.
        argument: Argument of the work; it is sent to the process.
        after: Keys of jobs to finish before it; other keys are ignored.
    """

    key: Hashable
    title: str
    argument: Any
    after: Sequence[Hashable] = ()


@dataclass
class Outcome:
    """Outcome of the jobs, by key."""

    done: list = field(default_factory=list)
    failed: dict = field(default_factory=dict)
    left: list = field(default_factory=list)


class Worker:
    """A process that runs one job after another, with its own children.

    Args:
        work: Runs a job and returns its result. A module-level function.
        log: File for its output; None leaves it unchanged.
    """

    def __init__(self, work: Callable, log: Path | None) -> None:
        context = multiprocessing.get_context('spawn')
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, work, log))
        self.process.start()
        other.close()
        self.job: Job | None = None
        self.since = 0.0

    def begin(self, job: Job) -> None:
        """Start a job."""
        self.job, self.since = job, time.monotonic()
        self.connection.send(job.argument)

    def result(self) -> tuple[bool, Any]:
        """Receive a job's outcome: success and result, or an error."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return False, f'its process ended ({self.process.exitcode})'

    def ask_to_stop(self) -> None:
        """Ask it to save and stop, or to exit if idle."""
        self.connection.close()
        if self.job is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGTERM)

    def end(self, seconds: float) -> None:
        """Kill the process and its children after a grace period, s."""
        self.process.join(max(seconds, 0))
        self.process.kill()
        # The group outlives its leader if a child does.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()


def end_all(workers: Iterable[Worker], grace: float) -> None:
    """End processes; busy ones have some seconds to save."""
    for worker in workers:
        if grace or worker.job is None:
            worker.ask_to_stop()
    end = time.monotonic() + (grace or 1.0)
    for worker in workers:
        worker.end(end - time.monotonic())


def run_jobs(
    jobs: Iterable[Job],
    work: Callable,
    count: int = 1,
    deadline: float | None = None,
    logs: Path | None = None,
    tell: Callable[[Job, bool, Any, float], None] = lambda *_: None,
) -> Outcome:
    """Run jobs in order, several at a time.

    If one fails, jobs that depend on it are skipped and the others continue.

    Args:
        jobs: Jobs to run.
        work: Runs a job in another process; a module-level function.
        count: Maximum number of processes.
        deadline: Time of `time.monotonic` at which running jobs are killed.
        logs: Folder of the processes' logs; None prints them here.
        tell: Called with each finished job, its success, its result or error,
            and its seconds.
    """
    waiting = list(jobs)
    outcome = Outcome()
    workers: list[Worker] = []
    grace = GRACE
    numbers = iter(range(1, sys.maxsize))
    try:
        while waiting or any(worker.job for worker in workers):
            _drop_lost(waiting, outcome, tell)
            for job in _ready(waiting, workers, outcome):
                worker = next((w for w in workers if w.job is None), None)
                if worker is None:
                    if len(workers) >= count:
                        break
                    log = logs and logs / f'process{next(numbers)}.log'
                    worker = Worker(work, log)
                    workers.append(worker)
                worker.begin(job)
                waiting.remove(job)
            busy = [worker for worker in workers if worker.job]
            if not busy:
                continue
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                grace = 0.0
                break
            ready = wait([worker.connection for worker in busy], left)
            for worker in [w for w in busy if w.connection in ready]:
                job = worker.job
                good, result = worker.result()
                worker.job = None
                seconds = time.monotonic() - worker.since
                if good:
                    outcome.done.append(job.key)
                else:
                    outcome.failed[job.key] = result
                    # Its remaining state may be broken.
                    workers.remove(worker)
                    end_all([worker], GRACE)
                tell(job, good, result, seconds)
        outcome.left = [w.job.key for w in workers if w.job]
        outcome.left += [job.key for job in waiting]
    finally:
        end_all(workers, grace)
    return outcome


def _ready(
    waiting: list[Job], workers: list[Worker], outcome: Outcome
) -> list[Job]:
    """List the jobs that are ready to run."""
    undone = {job.key for job in waiting}
    undone |= {worker.job.key for worker in workers if worker.job}
    return [job for job in waiting if undone.isdisjoint(job.after)]


def _drop_lost(waiting: list[Job], outcome: Outcome, tell: Callable) -> None:
    """Fail the jobs whose start failed."""
    lost = outcome.failed
    while job := next((j for j in waiting if {*j.after} & lost.keys()), None):
        waiting.remove(job)
        [first, *_] = (key for key in job.after if key in lost)
        lost[job.key] = error = f'{first} has failed'
        tell(job, False, error, 0.0)


def _serve(connection: Connection, work: Callable, log: Path | None) -> None:
    """Run jobs from a connection until it is closed."""
    os.setsid()
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open('a') as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.stdout.reconfigure(line_buffering=True)
    with suppress(EOFError, BrokenPipeError):
        while True:
            argument = connection.recv()
            try:
                answer = True, work(argument)
            except Exception as error:
                answer = False, _explain(error)
            connection.send(answer)


def _explain(error: Exception) -> str:
    """Say why a job failed; print the traceback unless the user can fix it."""
    # Here, since importing the package takes seconds.
    from mmseg_cag.errors import UserError

    if isinstance(error, UserError):
        return str(error)
    traceback.print_exception(error)
    return f'{type(error).__name__}: {error}'
