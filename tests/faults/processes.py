# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Processes that die or fall silent beside a run, or want its folder."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import current_process
from pathlib import Path

from mmseg_cag.datasets.uda import UDADataset
from mmseg_cag.engine.loops import EXIT_CODE, total_iters
from mmseg_cag.launch.run_lock import LOCK

from .child import POLL, Child, Lost
from .compare import require_end, require_same_run
from .laboratory import Laboratory, finish_and_compare
from .methods import METHODS

WORKER = {'train_dataloader.num_workers': 1}
SILENT = 'the worker reached its fault'
GRACE = 30  # seconds until a launcher kills the ranks that are left


def kill_worker(lab: Laboratory) -> None:
    """Kill the process that loads the images."""
    method = lab.rng.choice(sorted(METHODS))
    folder, (_, seconds) = lab.folder(), lab.undisturbed_run(method)
    child = lab.train(method, folder, **WORKER)
    wait = lab.rng.uniform(0, seconds)
    while child.process.is_alive():
        workers = children_of(child.pid)
        if workers and child.cpu_seconds() >= wait:
            with suppress(ProcessLookupError):
                os.kill(workers[0], signal.SIGKILL)
            break
        time.sleep(POLL)
    child.wait()
    finish_and_compare(lab, method, folder)


def silence_worker(lab: Laboratory) -> None:
    """Let the process that loads the images never answer.

    The run gives it up, or is asked to stop and saves without its batch.
    """
    asked = lab.rng.random() < 0.5
    options = {**WORKER, 'train_dataloader.timeout': 600 if asked else 2}
    method, folder, child = _train_with(lab, time.sleep, 3600, options)
    if asked:
        while not _is_silent(child) and child.process.is_alive():
            time.sleep(POLL)
        os.kill(child.pid, signal.SIGTERM)
    code, line = child.wait(), child.tail()
    if code != (EXIT_CODE if asked else 1):
        raise Lost(f'ended with {code}: {line}')
    if not asked and 'timed out after 2 seconds' not in line:
        raise Lost(f'gave another reason: {line}')
    finish_and_compare(lab, method, folder)


def fill_shared_memory(lab: Laboratory) -> None:
    """Let there be no room for a batch that a worker hands over."""
    method, folder, child = _train_with(lab, _limit_files, 1, WORKER)
    code, line = child.wait(), child.tail()
    if code != 1 or '/dev/shm has' not in line:
        raise Lost(f'ended with {code}: {line}')
    finish_and_compare(lab, method, folder)


def _limit_files(size: int) -> None:
    # Shared memory is files, too.
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def _train_with(
    lab: Laboratory, fault: Callable, argument: int, options: dict
) -> tuple[str, Path, Child]:
    """Start a run in whose worker something happens at some batch."""
    method, folder = lab.rng.choice(sorted(METHODS)), lab.folder()
    lab.undisturbed_run(method)
    cfg = lab.config(method, folder)
    cfg.merge_from_dict(options)
    load = UDADataset.__getitem__
    samples = total_iters(cfg.train_cfg) * cfg.train_dataloader.batch_size
    at = lab.rng.randrange(samples)

    def work() -> None:
        def loading(dataset: UDADataset, item: tuple) -> dict:
            if item[0][1] == at and current_process().daemon:
                print(SILENT)
                fault(argument)
            return load(dataset, item)

        UDADataset.__getitem__ = loading
        lab.run(cfg)

    (lab.root / 'log').write_text('')
    return method, folder, lab.start(work)


def _is_silent(child: Child) -> bool:
    return SILENT in child.log.read_text(errors='replace')


def children_of(pid: int) -> list[int]:
    """List the processes that a process has started."""
    try:
        text = Path(f'/proc/{pid}/task/{pid}/children').read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def signal_rank(lab: Laboratory, number: int) -> None:
    """Send a signal to one of two ranks; the launcher ends what is left."""
    expected, seconds = lab.undisturbed('two ranks', lambda f: _two(lab, f))
    folder = lab.folder()
    ranks = _two(lab, folder).ranks
    victim = lab.rng.choice(ranks)
    victim.signal_after(lab.rng.uniform(0, seconds), number)
    for rank in ranks:
        rank.process.join(GRACE)
        rank.kill()
    require_end(_two(lab, folder))
    require_same_run(expected, folder)
    shutil.rmtree(folder)


class Ranks:
    """Two ranks of a run, to be waited for as one child."""

    def __init__(self, ranks: list[Child]) -> None:
        self.ranks = ranks
        self.process = ranks[0].process
        self.cpu_seconds = ranks[0].cpu_seconds
        self.tail = ranks[0].tail

    def wait(self) -> int:
        """Wait for both; returns an exit code that is not 0, if any."""
        return next((c for r in self.ranks if (c := r.wait())), 0)


def _two(lab: Laboratory, folder: Path) -> Ranks:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    cfg = lab.config('CAG', folder)
    cfg.launcher = 'pytorch'

    def work(rank: int) -> None:
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE='2',
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=port,
        )
        lab.run(cfg)

    return Ranks([lab.start(lambda r=rank: work(r)) for rank in (0, 1)])


def start_another(lab: Laboratory) -> None:
    """Start a second run in the folder of one."""
    method, folder = lab.rng.choice(sorted(METHODS)), lab.folder()
    expected, _ = lab.undisturbed_run(method)
    first = lab.train(method, folder)
    while not _is_signed(folder / LOCK) and first.process.is_alive():
        time.sleep(POLL)
    os.kill(first.pid, signal.SIGSTOP)
    other = lab.train(method, folder)
    code, line = other.wait(), other.tail()
    os.kill(first.pid, signal.SIGCONT)
    require_end(first)
    if code != 1 or 'is in use by' not in line:
        raise Lost(f'the other ended with {code}: {line}')
    require_same_run(expected, folder)
    shutil.rmtree(folder)


def _is_signed(lock: Path) -> bool:
    return lock.is_file() and lock.stat().st_size > 0
