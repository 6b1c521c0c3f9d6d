# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Damaged files, a disk that is full and a clock that jumps."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from mmengine import fileio

from mmseg_cag.engine.loops import total_iters
from mmseg_cag.engine.runtime.step_hooks import StepSeedHook
from mmseg_cag.fileio.checkpoints import numbered

from .child import Lost
from .compare import require_same_run
from .laboratory import Laboratory, finish_and_compare, prepare
from .methods import METHODS

YEARS = 10 * 365 * 86400  # seconds
FILES_READ = 16  # by training, at least


def truncate(path: Path, rng: Random) -> None:
    """Cut a file anywhere."""
    os.truncate(path, rng.randrange(path.stat().st_size))


def corrupt(path: Path, rng: Random) -> None:
    """Alter some bytes of a file, as a bad disk does."""
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content))
    for i in range(at, min(at + 4096, len(content))):
        content[i] ^= 0xFF
    path.write_bytes(content)


def damage_checkpoint(
    lab: Laboratory, damage: Callable[[Path, Random], None]
) -> None:
    """Damage the newest checkpoint of a run that has not ended."""
    method = lab.rng.choice(sorted(METHODS))
    expected, _ = lab.undisturbed_run(method)
    folder = lab.folder()
    shutil.copytree(expected, folder)
    numbered(folder)[-1].unlink()
    damage(numbered(folder)[-1], lab.rng)
    finish_and_compare(lab, method, folder)


def fail_to_read(lab: Laboratory) -> None:
    """Let the disk fail once as an image is read."""
    method = lab.rng.choice(sorted(METHODS))
    folder, at = lab.folder(), lab.rng.randint(1, FILES_READ)
    cfg = lab.config(method, folder)

    def work() -> None:
        read, calls = fileio.get, []

        def failing(*args: object, **kwargs: object) -> bytes:
            calls.append(1)
            if len(calls) == at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return read(*args, **kwargs)

        fileio.get = failing
        lab.run(cfg)

    child = lab.start(work)
    if child.wait() == 0:
        raise Lost('the error went unnoticed')
    finish_and_compare(lab, method, folder)


def fill_disk(lab: Laboratory) -> None:
    """Let no file grow from one iteration to another.

    What was the best meanwhile could not be kept.
    """
    method = lab.rng.choice(sorted(METHODS))
    folder = lab.folder()
    cfg = lab.config(method, folder)
    last = total_iters(cfg.train_cfg)
    begin = lab.rng.randrange(last)
    end = lab.rng.randint(begin + 1, last)

    def work() -> None:
        # Its words would be files, too.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        limit_at_steps(begin, end)
        lab.run(cfg)

    child = lab.start(work)
    # It goes on; only an end that is on no disk is an error.
    if (code := child.wait()) and end < last:
        raise Lost(f'ended with {code}, full in {begin}..{end} of {last}')
    if code:
        finish_and_compare(lab, method, folder, best=False)
    else:
        expected, _ = lab.undisturbed_run(method)
        require_same_run(expected, folder, best=False)


def limit_at_steps(begin: int, end: int) -> None:
    """Let the disk take nothing from one iteration to before another."""
    before_train_iter = StepSeedHook.before_train_iter
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limiting(hook: StepSeedHook, runner: object, **kwargs: object) -> None:
        full = begin <= runner.iter < end
        soft = 1 if full else hard
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        before_train_iter(hook, runner, **kwargs)

    StepSeedHook.before_train_iter = limiting


def jump_clock(lab: Laboratory) -> None:
    """Let the clock jump by years as a run goes, and kill it."""
    method = lab.rng.choice(sorted(METHODS))
    _, seconds = lab.undisturbed_run(method)
    seed = lab.rng.random()

    def start(folder: Path) -> object:
        cfg = lab.config(method, folder)

        def work() -> None:
            now, jumps = time.time, Random(seed)
            time.time = lambda: now() + jumps.uniform(-YEARS, YEARS)
            prepare()
            lab.run(cfg)

        return lab.start(work)

    folder, _ = lab.interrupt(start, seconds, signal.SIGKILL)
    for path in numbered(folder):
        moment = lab.rng.uniform(0, 2 * YEARS)
        os.utime(path, (moment, moment))
    finish_and_compare(lab, method, folder)
