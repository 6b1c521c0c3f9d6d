# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Checks that a checkpoint matches a config, to resume its run."""

from __future__ import annotations

import logging
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from mmseg_cag.engine.records.provenance import (
    list_changes,
    provenance_of,
    read_provenance,
    read_version,
)
from mmseg_cag.errors import UserError
from mmseg_cag.version import __version__

from .stages import walk

OLD = ['0', '1']  # with other formats of settings and state


def resume_run(cfg: Config, latest: Path) -> Config:
    """Set a run to resume from its latest checkpoint."""
    # Takes precedence over load_from, which mmengine would resume from.
    cfg.load_from = str(latest)
    cfg.resume = True
    return cfg


def check_provenance(cfg: Config, checkpoint: Path) -> None:
    """Check that a checkpoint was trained with exactly this config.

    Raises:
        UserError: It was not, has no provenance, or its version cannot be
            resumed.
    """
    _require_version(cfg, checkpoint)
    provenance = read_provenance(checkpoint)
    advice = (
        f'move {cfg.work_dir} away to retrain, or set load_from to a '
        'checkpoint in it to start from that anyway'
    )
    if provenance is None:
        raise UserError(
            f'{checkpoint}: has no record of its settings; {advice}'
        )
    _require_equal(checkpoint, provenance, provenance_of(cfg), advice)


def check_resume_config(cfg: Config, checkpoint: Path) -> None:
    """Check that a run so far matches what this config would have done.

    The number of stages and the length of a run may differ if the schedule
    does not depend on them, and so may the location of the data, which have a
    fingerprint. The starting checkpoint is compared only in a chain.

    Raises:
        UserError: It does not, or its version cannot be resumed.
    """
    _require_version(cfg, checkpoint)
    provenance = read_provenance(checkpoint)
    if provenance is None:
        print_log(
            f'{checkpoint}: has no record of its settings, which are not '
            'compared',
            'current',
            logging.WARNING,
        )
        return
    now = provenance_of(cfg)
    for one in (provenance, now):
        loop = one['train_cfg']
        if not _is_of_run_length(one['param_scheduler'], 'stages' in loop):
            for key in ('stages', 'max_iters'):
                loop.pop(key, None)
        for key in ('train_dataloader', 'anchor_dataloader'):
            _forget(one.get(key), 'data_root')
    starts = (provenance['initialized_from'], now['initialized_from'])
    if not all(isinstance(start, dict) for start in starts):
        provenance['initialized_from'] = now['initialized_from']
    advice = (
        f'fix the config, or move {cfg.work_dir} away to train from scratch'
    )
    _require_equal(checkpoint, provenance, now, advice)


def _require_version(cfg: Config, checkpoint: Path) -> None:
    found = read_version(checkpoint)
    if found and found.split('.')[:2] == OLD:
        raise UserError(
            f'{checkpoint}: was trained by mmseg_cag {found}, whose runs '
            f'{__version__} cannot resume; move {cfg.work_dir} away to '
            'retrain, or set load_from to a checkpoint in it to start from '
            'that'
        )


def _require_equal(
    checkpoint: Path, provenance: dict, now: dict, advice: str
) -> None:
    if changes := list_changes(provenance, now):
        more = f' and {len(changes) - 2} more' if len(changes) > 2 else ''
        raise UserError(
            f'{checkpoint}: was trained with other settings than its config '
            f'has, {"; ".join(changes[:2])}{more}; {advice}'
        )


def _is_of_run_length(schedules: object, staged: bool) -> bool:
    """Return whether a schedule ends with the run, not with a stage."""
    return any(
        not (schedule.get('end') or schedule.get('decay_iters'))
        for schedule in walk(schedules)
        if 'type' in schedule
        and not (staged and schedule['type'] == 'PolyRestartLR')
    )


def _forget(node: object, key: str) -> None:
    """Remove a key from all nested dicts."""
    if isinstance(node, dict):
        node.pop(key, None)
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        _forget(child, key)
