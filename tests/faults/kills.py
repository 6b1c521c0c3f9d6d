# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Kills and signals at random instants."""

from __future__ import annotations

import copy
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from label_set import convert_labels
from mmengine.config import Config

from mmseg_cag.engine.loops import EXIT_CODE
from mmseg_cag.fileio.checkpoints import numbered
from mmseg_cag.models.segmentors.cag import CAGSegmentor
from mmseg_cag.workflows.pseudo_labels.make import make_pseudo_labels
from mmseg_cag.workflows.translate import translate_images

from .child import Child, Lost
from .compare import require_end, require_same_files
from .laboratory import Laboratory, finish_and_compare, prepare
from .methods import METHODS

ANCHOR_BATCHES = 8  # of both stages


def kill_training(lab: Laboratory, method: str) -> None:
    """Kill a run at a random instant, perhaps again as it goes on."""
    _, seconds = lab.undisturbed_run(method)
    folder = disturb(lab, method, seconds, signal.SIGKILL)
    if lab.rng.random() < 0.5:
        again = lab.train(method, folder)
        again.signal_after(lab.rng.uniform(0, seconds), signal.SIGKILL)
        again.wait()
    finish_and_compare(lab, method, folder)


def disturb(lab: Laboratory, method: str, seconds: float, number: int) -> Path:
    """Start a run and send it a signal before it ends."""
    return lab.interrupt(
        lambda folder: lab.train(method, folder), seconds, number
    )[0]


def stop_training(lab: Laboratory) -> None:
    """Send what a scheduler or a user sends; the run saves if it trains.

    It goes to all processes of the run, those that load images, too.
    """
    method = lab.rng.choice(sorted(METHODS))
    workers = {'train_dataloader.num_workers': lab.rng.choice([0, 2])}
    _, seconds = lab.undisturbed_run(method)
    number = lab.rng.choice([signal.SIGTERM, signal.SIGINT])
    folder, code = lab.interrupt(
        lambda folder: lab.train(method, folder, **workers), seconds, number
    )
    if code == EXIT_CODE and not numbered(folder):
        raise Lost(f'ended with {code} and saved nothing')
    finish_and_compare(lab, method, folder)


def kill_anchor_pass(lab: Laboratory) -> None:
    """Kill a run at a random batch of the source's pass."""
    at, folder = lab.rng.randint(1, ANCHOR_BATCHES), lab.folder()
    cfg = lab.config('CAG', folder)

    def work() -> None:
        kill_at(CAGSegmentor, 'collect_centroids', at)
        lab.run(cfg)

    code = lab.start(work).wait()
    if code != -signal.SIGKILL:
        raise Lost(f'ended with {code} in place of being killed')
    finish_and_compare(lab, 'CAG', folder)


def kill_at(owner: type, name: str, at: int) -> None:
    """Let this process be killed at a call of a method."""
    method, calls = getattr(owner, name), []

    def counted(*args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*args, **kwargs)

    setattr(owner, name, counted)


def kill_conversion(lab: Laboratory) -> None:
    """Kill the conversion of labels, with its processes, at a random file."""
    labels = lab.root / 'gta/labels'

    def start(out: Path) -> Child:
        return lab.start(lambda: convert_labels(labels, out, 'gta', '.png', 1))

    expected, _ = lab.undisturbed('labels', start)
    at = lab.rng.randrange(len(list(labels.iterdir())))
    found = lab.folder()
    child = start(found)
    while len(list(found.rglob('*.png'))) < at and child.process.is_alive():
        pass
    child.kill()
    require_end(start(found))
    require_same_files(expected, found)


def kill_translation(lab: Laboratory) -> None:
    """Kill the translation of the source's images."""
    run, _ = lab.undisturbed_run('translator')
    cfg = lab.config('translator', run)

    def start(out: Path) -> Child:
        return lab.start(_writer(translate_images, cfg, run, out))

    kill_writing(lab, 'translated images', start)


def kill_labelling(lab: Laboratory) -> None:
    """Kill the labelling of the target's images."""
    run, _ = lab.undisturbed_run('AdaptSegNet')
    cfg = lab.config('AdaptSegNet', run)
    cfg.test_dataloader, cfg.test_evaluator = (
        cfg.val_dataloader,
        cfg.val_evaluator,
    )
    cfg.test_cfg = dict(type='TestLoop')

    def start(out: Path) -> Child:
        return lab.start(_writer(make_pseudo_labels, cfg, run, out))

    kill_writing(lab, 'pseudo labels', start)


def _writer(
    write: Callable, cfg: Config, run: Path, out: Path
) -> Callable[[], None]:
    checkpoint = numbered(run)[-1]

    def work() -> None:
        prepare()
        write(copy.deepcopy(cfg), checkpoint, out)

    return work


def kill_writing(
    lab: Laboratory, name: str, start: Callable[[Path], Child]
) -> None:
    """Kill what fills a folder, start it again and compare the files."""
    expected, seconds = lab.undisturbed(name, start)
    found, _ = lab.interrupt(start, seconds, signal.SIGKILL)
    require_end(start(found))
    require_same_files(expected, found)
    shutil.rmtree(found)
