# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Training of a run and the runs that it starts from."""

from __future__ import annotations

import gc
import logging
import os
from itertools import pairwise
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import barrier
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmseg_cag.engine.checks.require_crops import require_crops
from mmseg_cag.engine.checks.require_weights import (
    require_checkpoint,
    require_weights,
)
from mmseg_cag.engine.loops import EXIT_CODE, total_iters
from mmseg_cag.engine.records.provenance import provenance_of
from mmseg_cag.engine.resilience.signals import (
    WORKER_FAULTS,
    raise_worker_fault,
)
from mmseg_cag.engine.runtime.cpu_distributed import use_gloo_without_gpu
from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.checkpoints import latest_valid_checkpoint
from mmseg_cag.fileio.safe_config import load_config

from .cfg_options import merge_options, require_read
from .rehearsal import rehearse, warn_of_other_data
from .resume import check_provenance, check_resume_config, resume_run
from .run_lock import is_first_rank, locked, require_locks
from .settings import check_settings, require_parts

# Dataloader roles that a training run reads.
TRAINING = ('train', 'val', 'anchors', 'translation')


def train_chain(cfg: Config, resume: bool = False, more: bool = False) -> None:
    """Train by a config; first by that of its ``start_from``, if need be.

    Finished runs are reused, interrupted ones resumed. All ranks decide before
    any of them writes.

    Args:
        cfg: The run's config, with ``work_dir`` and ``launcher``.
        resume: Whether to resume from the run's own latest checkpoint, if any.
        more: Whether the command goes on after the last run.

    Raises:
        UserError: A config, file or folder is wrong; a folder holds the result
            of other settings or is in use.
        SystemExit: As of `train_runs`.
    """
    if not cfg.get('load_from'):
        # Otherwise mmengine would resume from the starting run's checkpoint.
        resume = resume or cfg.get('resume', False)
        cfg.resume = False
    require_parts(cfg, cfg.filename or cfg.work_dir)
    runs = pending_runs(load_chain(cfg), resume)
    for position, run in enumerate(runs, start=1):
        run.chain = f'run {position} of {len(runs)}'
        check_settings(run)
        total_iters(run.train_cfg)
        require_weights(run)
        require_crops(run)
    if is_first_rank(cfg.launcher):
        warn_of_other_data(runs)
        for run in runs:
            rehearse(run, TRAINING, ahead=run is not runs[0])
    train_runs(runs, more)


def train_runs(runs: list[Config], more: bool = False) -> None:
    """Train runs in sequence on all ranks.

    Args:
        runs: Their configs.
        more: Whether the command goes on after the last one.

    Raises:
        UserError: A folder is in use, or a checkpoint is wrong.
        SystemExit: A signal came as a run ended, and the command goes on.
    """
    with locked(runs):
        for run in runs:
            require_checkpoint(run)
            told = train(run)
            barrier()
            if told and (more or run is not runs[-1]):
                print_log(
                    f'A signal: stopped after {run.work_dir}, which is '
                    'complete; rerun the command to continue',
                    'current',
                    logging.WARNING,
                )
                raise SystemExit(EXIT_CODE)


def train(cfg: Config) -> bool:
    """Train one run and free its memory.

    Returns:
        Whether a signal to any rank came too late to stop within the run.
    """
    cfg.setdefault('default_scope', 'mmseg')
    use_gloo_without_gpu(cfg)
    runner = Runner.from_cfg(cfg)
    runner.train()
    told = getattr(runner.train_loop, 'told', False)
    del runner
    gc.collect()
    torch.cuda.empty_cache()
    return told


def evaluate_run(cfg: Config) -> dict[str, float]:
    """Evaluate a config and return the metrics.

    Raises:
        UserError: A setting or file is wrong, or loading fails.
    """
    check_settings(cfg)
    cfg.setdefault('default_scope', 'mmseg')
    if is_first_rank(cfg.launcher):
        rehearse(cfg, ('test',))
    use_gloo_without_gpu(cfg)
    try:
        return Runner.from_cfg(cfg).test()
    except WORKER_FAULTS as error:
        raise_worker_fault(error)


def load_chain(cfg: Config) -> list[Config]:
    """Load the chain of configs that a run starts from, earliest first.

    Each starts from the last checkpoint of the previous run; its
    ``initialized_from`` is that run's provenance, so any earlier change is
    detected.

    Args:
        cfg: The last run's config, changed in place.

    Raises:
        MissingFileError: A config in ``start_from`` is not a file.
        UserError: The chain is circular, or training is not supported on this
            system.
    """
    require_locks()
    chain = [cfg]
    paths: list[str] = []
    while chain[0].get('start_from') and not chain[0].get('load_from'):
        path = os.path.normpath(chain[0].start_from)
        if path in paths:
            circle = ' -> '.join([*paths, path])
            raise UserError(f'start_from: circular, {circle}')
        paths.append(path)
        options = chain[0].get('start_options') or {}
        chain.insert(0, load_run(path, options, cfg.launcher))
        _require_own_folder(chain)
    chain[0].initialized_from = chain[0].get('load_from')
    for earlier, later in pairwise(chain):
        later.initialized_from = provenance_of(earlier)
        later.load_from = str(last_checkpoint(earlier))
    return chain


def load_run(
    path: str,
    options: dict,
    launcher: str,
    key: str = 'start_from',
    options_key: str = 'start_options',
) -> Config:
    """Load the config of a run that another one needs.

    Args:
        path: The config file.
        options: Settings to override.
        launcher: Launcher of the run that needs it.
        key: Key that names the file, for errors.
        options_key: Key that gives the options, for errors.

    Raises:
        MissingFileError: There is no such file.
        UserError: Its train_cfg has no iterations, or nothing reads an option.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{key}={path}: config file not found')
    cfg = load_config(path)
    require_read(cfg, path)
    merge_options(cfg, options, options_key)
    cfg.launcher = launcher
    cfg.resume = False
    require_parts(cfg, f'{key}={path}')
    try:
        total_iters(cfg.train_cfg)
    except UserError as error:
        raise UserError(f'{key}={path}: {error}') from error
    set_work_dir(cfg, cfg.get('work_dir') or default_work_dir(path))
    return cfg


def set_work_dir(cfg: Config, folder: str) -> None:
    """Set a run's work dir."""
    cfg.work_dir = folder
    # mmengine distinguishes runs in one process by it.
    cfg.experiment_name = '_'.join(Path(folder).parts[-2:])


def _require_own_folder(chain: list[Config]) -> None:
    folders = [Path(cfg.work_dir).resolve() for cfg in chain]
    if folders[0] in folders[1:]:
        raise UserError(
            f'start_from={chain[1].start_from}: has the same work_dir '
            f'{chain[0].work_dir} as the run that starts from it, expected '
            'another'
        )


def pending_runs(chain: list[Config], resume: bool) -> list[Config]:
    """List the runs to train, from the last one that was started.

    Args:
        chain: Result of `load_chain`; a started run is set to resume.
        resume: Whether to resume the last run, too.

    Raises:
        UserError: A folder holds the result of other settings, or no valid
            checkpoint.
    """
    *earlier, last = chain
    if resume and (latest := latest_valid_checkpoint(last.work_dir)):
        check_resume_config(last, latest)
        return [resume_run(last, latest)]
    return [*unfinished_runs(earlier), last]


def unfinished_runs(chain: list[Config]) -> list[Config]:
    """List the unfinished runs needed for the last one's result.

    Args:
        chain: Result of `load_chain`; a started run is set to resume.

    Raises:
        UserError: A folder holds the result of other settings, or no valid
            checkpoint.
    """
    for index, run in reversed(list(enumerate(chain))):
        latest = latest_valid_checkpoint(run.work_dir)
        if latest is None:
            continue
        check_provenance(run, latest)
        if latest == last_checkpoint(run):
            return chain[index + 1 :]
        resume_run(run, latest)
        return chain[index:]
    return chain


def default_work_dir(path: str | Path) -> str:
    """Return the default work dir of a config."""
    path = Path(path)
    return str(Path('work_dirs', path.parent.name, path.stem))


def last_checkpoint(cfg: Config) -> Path:
    """Return the path of a run's final checkpoint."""
    return Path(cfg.work_dir, f'iter_{total_iters(cfg.train_cfg)}.pth')
