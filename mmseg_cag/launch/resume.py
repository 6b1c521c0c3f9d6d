# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Whether a checkpoint is that of a config, so that its run can go on."""

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

OLD = ['0', '1']  # its settings and states have other forms


def resume_run(cfg: Config, latest: Path) -> Config:
    """Let a run resume from its latest checkpoint."""
    # Before its start, which mmengine would resume from.
    cfg.load_from = str(latest)
    cfg.resume = True
    return cfg


def check_provenance(cfg: Config, checkpoint: Path) -> None:
    """Check that a checkpoint was trained by this very config.

    Raises:
        UserError: It was not, does not tell, or is of a version whose runs
            cannot go on.
    """
    _require_version(cfg, checkpoint)
    provenance = read_provenance(checkpoint)
    advice = (
        f'move {cfg.work_dir} away to train it anew, or set load_from to a '
        'checkpoint in it to start from that all the same'
    )
    if provenance is None:
        raise UserError(f'{checkpoint}: does not tell its settings; {advice}')
    _require_equal(checkpoint, provenance, provenance_of(cfg), advice)


def check_resume_config(cfg: Config, checkpoint: Path) -> None:
    """Check that what a run did so far is what this config would have done.

    So the number of stages may differ, or the length of a run whose schedule
    does not depend on it; and the place of the data, of which the checkpoint
    has a fingerprint. Where the run began from is asked only of a chain.

    Raises:
        UserError: It is not, or of a version whose runs cannot go on.
    """
    _require_version(cfg, checkpoint)
    provenance = read_provenance(checkpoint)
    if provenance is None:
        print_log(
            f'{checkpoint}: does not tell its settings, they are not compared',
            'current',
            logging.WARNING,
        )
        return
    now = provenance_of(cfg)
    for one in (provenance, now):
        one['train_cfg'].pop('stages', None)
        if not _is_of_run_length(one['param_scheduler']):
            one['train_cfg'].pop('max_iters', None)
        for key in ('train_dataloader', 'anchor_dataloader'):
            _forget(one.get(key), 'data_root')
    starts = (provenance['initialized_from'], now['initialized_from'])
    if not all(isinstance(start, dict) for start in starts):
        provenance['initialized_from'] = now['initialized_from']
    advice = (
        f'mend the config, or move {cfg.work_dir} away to train by it from '
        'the beginning'
    )
    _require_equal(checkpoint, provenance, now, advice)


def _require_version(cfg: Config, checkpoint: Path) -> None:
    found = read_version(checkpoint)
    if found and found.split('.')[:2] == OLD:
        raise UserError(
            f'{checkpoint}: was trained by mmseg_cag {found}, whose runs '
            f'{__version__} cannot go on with; move {cfg.work_dir} away to '
            'train anew, or set load_from to a checkpoint in it to start from '
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


def _is_of_run_length(schedules: object) -> bool:
    """Tell whether the end of the run is that of a schedule."""
    return any(
        not (schedule.get('end') or schedule.get('decay_iters'))
        for schedule in walk(schedules)
        if 'type' in schedule
    )


def _forget(node: object, key: str) -> None:
    """Remove a key from all dicts within."""
    if isinstance(node, dict):
        node.pop(key, None)
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        _forget(child, key)
