# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Train a run after the run that it starts from."""

from __future__ import annotations

import gc
from itertools import pairwise
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import barrier
from mmengine.runner import Runner

from mmseg_cag.datasets.require_images import require_images_of
from mmseg_cag.engine.cpu_distributed import use_gloo_without_gpu
from mmseg_cag.engine.recipe import list_changes, read_recipe, recipe_of
from mmseg_cag.engine.require_weights import (
    require_checkpoint,
    require_weights,
)
from mmseg_cag.errors import MissingFileError, UserError

from .stages import require_equal_stages


def train_chain(cfg: Config, resume: bool = False) -> None:
    """Train by a config; first by that of its ``start_from``, if need be.

    A complete result of an earlier run is reused, an interrupted one is gone
    on with. All ranks decide so before any of them writes.

    Args:
        cfg: The run's config, with ``work_dir`` and ``launcher``.
        resume: Whether to go on from the run's own latest checkpoint, if any.

    Raises:
        UserError: A config, file or folder that is needed is wrong; the
            folder of an earlier run holds the result of other settings.
    """
    if not cfg.get('load_from'):
        # mmengine would resume from the start's checkpoint, of another run.
        resume = resume or cfg.get('resume', False)
        cfg.resume = False
    runs = pending_runs(load_chain(cfg), resume)
    for position, run in enumerate(runs, start=1):
        run.chain = f'run {position} of {len(runs)}'
        require_equal_stages(run)
        require_weights(run)
        require_images_of(run, 'train_dataloader', 'val_dataloader')
    train_runs(runs)


def train_runs(runs: list[Config]) -> None:
    """Train one run after another, by all ranks together."""
    for run in runs:
        require_checkpoint(run)
        train(run)
        barrier()


def train(cfg: Config) -> None:
    """Train one run and free what it held."""
    use_gloo_without_gpu(cfg)
    runner = Runner.from_cfg(cfg)
    runner.train()
    stop_workers(runner)
    del runner
    gc.collect()
    torch.cuda.empty_cache()


def stop_workers(runner: Runner) -> None:
    """Stop the processes that load data.

    A worker whose queue is collected together with the runner, in a cycle,
    only looks up after 5 seconds.
    """
    runner.train_loop.dataloader_iterator = None
    for part in (runner.train_loop, runner.val_loop):
        if part is not None:
            part.dataloader._iterator = None


def load_chain(cfg: Config) -> list[Config]:
    """Load the configs of the runs that a run starts from, earliest first.

    Each begins from the last checkpoint of the one before; its ``begun_from``
    is that one's recipe, so a change anywhere before it is seen.

    Args:
        cfg: The last run's config, changed in place.

    Raises:
        MissingFileError: A config that ``start_from`` names is no file.
        UserError: The runs go in a circle.
    """
    chain = [cfg]
    paths: list[str] = []
    while chain[0].get('start_from') and not chain[0].get('load_from'):
        path = chain[0].start_from
        if path in paths:
            circle = ' -> '.join([*paths, path])
            raise UserError(f'start_from: goes in a circle, {circle}')
        paths.append(path)
        options = chain[0].get('start_options') or {}
        chain.insert(0, load_run(path, options, cfg.launcher))
        _require_own_folder(chain)
    chain[0].begun_from = chain[0].get('load_from')
    for earlier, later in pairwise(chain):
        later.begun_from = recipe_of(earlier)
        later.load_from = str(last_checkpoint(earlier))
    return chain


def load_run(
    path: str, options: dict, launcher: str, key: str = 'start_from'
) -> Config:
    """Load the config of a run that another one needs.

    Args:
        path: The config file.
        options: Settings in which the run is to differ from it.
        launcher: As of the run that needs it.
        key: What names the file, for errors.

    Raises:
        MissingFileError: There is no such file.
        UserError: The run is not counted in iterations.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{key}={path}: config file not found')
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(options)
    cfg.launcher = launcher
    cfg.resume = False
    if 'max_iters' not in cfg.train_cfg:
        raise UserError(
            f'{key}={path}: has no train_cfg.max_iters, expected '
            'IterBasedTrainLoop'
        )
    set_work_dir(cfg, cfg.get('work_dir') or default_work_dir(path))
    return cfg


def set_work_dir(cfg: Config, folder: str) -> None:
    """Name the folder of a run's results."""
    cfg.work_dir = folder
    # mmengine tells runs of one process apart by it.
    cfg.experiment_name = '_'.join(Path(folder).parts[-2:])


def _require_own_folder(chain: list[Config]) -> None:
    folders = [Path(cfg.work_dir).resolve() for cfg in chain]
    if folders[0] in folders[1:]:
        raise UserError(
            f'start_from={chain[1].start_from}: has the work_dir '
            f'{chain[0].work_dir}, as the run that starts from it, expected '
            'one of its own'
        )


def pending_runs(chain: list[Config], resume: bool) -> list[Config]:
    """List the runs that are to be done, after the last that has begun.

    Args:
        chain: As of `load_chain`; a run that has begun is set to resume.
        resume: Whether the last run, too, goes on from where it was.

    Raises:
        UserError: The folder of an earlier run holds the result of other
            settings.
    """
    *earlier, last = chain
    if resume and (latest := latest_checkpoint(last.work_dir)):
        return [go_on(last, latest)]
    return [*unfinished_runs(earlier), last]


def unfinished_runs(chain: list[Config]) -> list[Config]:
    """List the runs that are to be done for the result of the last one.

    Args:
        chain: As of `load_chain`; a run that has begun is set to resume.

    Raises:
        UserError: A folder holds the result of other settings.
    """
    for index, run in reversed(list(enumerate(chain))):
        latest = latest_checkpoint(run.work_dir)
        if latest is None:
            continue
        check_recipe(run, latest)
        if latest == last_checkpoint(run):
            return chain[index + 1 :]
        go_on(run, latest)
        return chain[index:]
    return chain


def go_on(cfg: Config, latest: Path) -> Config:
    """Let a run resume from its latest checkpoint."""
    # Before its start, which mmengine would resume from.
    cfg.load_from = str(latest)
    cfg.resume = True
    return cfg


def check_recipe(cfg: Config, checkpoint: Path) -> None:
    """Check that a checkpoint was trained by this very config.

    Raises:
        UserError: It was not, or does not tell.
    """
    recipe = read_recipe(checkpoint)
    advice = (
        f'move {cfg.work_dir} away to train it anew, or set load_from to a '
        'checkpoint in it to start from that all the same'
    )
    if recipe is None:
        raise UserError(f'{checkpoint}: does not tell its settings; {advice}')
    if changes := list_changes(recipe, recipe_of(cfg)):
        more = f' and {len(changes) - 2} more' if len(changes) > 2 else ''
        raise UserError(
            f'{checkpoint}: is of other settings than its config now has, '
            f'{"; ".join(changes[:2])}{more}; {advice}'
        )


def default_work_dir(path: str | Path) -> str:
    """Name the folder of a config's results."""
    path = Path(path)
    return str(Path('work_dirs', path.parent.name, path.stem))


def last_checkpoint(cfg: Config) -> Path:
    """Name the checkpoint at the end of a run."""
    return Path(cfg.work_dir, f'iter_{cfg.train_cfg.max_iters}.pth')


def latest_checkpoint(folder: str) -> Path | None:
    """Find the latest checkpoint of a run's folder, if it has one.

    Raises:
        MissingFileError: The folder names one that is not in it.
    """
    note = Path(folder, 'last_checkpoint')
    if not note.is_file():
        return None
    # By its name alone: the folder may have been moved since.
    latest = Path(folder, Path(note.read_text().strip()).name)
    if not latest.is_file():
        raise MissingFileError(f'{note}: names {latest.name}, not found')
    return latest
