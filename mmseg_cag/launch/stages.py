# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Stages of a config: their length and selection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmseg_cag.engine.loops import require_positive
from mmseg_cag.engine.records.provenance import read_provenance
from mmseg_cag.errors import UserError


def stage_length(cfg: dict) -> int | None:
    """Return the iterations of a stage.

    Args:
        cfg: The run's config, or its provenance.

    Returns:
        None for a run without stages.
    """
    length = (cfg.get('train_cfg') or {}).get('stage_iters')
    return length if isinstance(length, int) and length > 0 else None


def shorten_stages(cfg: Config, iters: int) -> None:
    """Change the length of each stage, but not their number.

    Args:
        cfg: The run's config, changed in place.
        iters: Iterations of a stage, from 1.

    Raises:
        UserError: The config has no stages, or the length is invalid.
    """
    if not stage_length(cfg) or iters < 1:
        raise UserError(
            f'--stage-iters {iters}: expected a positive number, and a config '
            f'with stages, {cfg.filename}'
        )
    set_iters(cfg, iters)


def select_stage(
    cfg: Config, stage: int, start_is_given: bool = False
) -> None:
    """Restrict a run to one stage of its config.

    It starts from ``load_from`` or, by default, from the end of the previous
    stage in the folder of the whole run or of that stage (stage 1 starts like
    the run). It writes to its own subfolder. Without a source, ``load_from``
    is the file that the whole run starts from; after it the numbers of stages
    continue from the file's.

    Args:
        cfg: The run's config, changed in place.
        stage: Number of the stage in the config, from 1.
        start_is_given: Whether ``load_from`` is meant for this stage.

    Raises:
        UserError: The config has no such stage.
    """
    length = stage_length(cfg)
    if not length:
        raise UserError(
            f'--stage {stage}: {cfg.filename} has no stages, expected '
            'train_cfg of a StageTrainLoop'
        )
    require_positive(stages=cfg.train_cfg.get('stages'))
    if not 1 <= stage <= cfg.train_cfg.stages:
        raise UserError(
            f'--stage {stage}: does not exist, {cfg.filename} has the stages '
            f'1 to {cfg.train_cfg.stages}'
        )
    no_source = _has_no_source(cfg)
    has_start = cfg.get('load_from') and (start_is_given or not no_source)
    if stage > 1 and not has_start:
        cfg.load_from = str(_end_before(cfg.work_dir, stage, length))
    cfg.work_dir = str(Path(cfg.work_dir, f'stage_{stage}'))
    cfg.train_cfg.stages = 1
    if not no_source:
        cfg.train_cfg.first_stage = stage
    if stage > 1 and 'anchors' in cfg.default_hooks:
        # An anchor file only applies to the start of the whole run.
        cfg.default_hooks.anchors.init_from = None
    # The data order depends on seed and iteration, which restarts at 0:
    # without this each stage would see the same pairs.
    seed = cfg.get('randomness', {}).get('seed') or 0
    cfg.merge_from_dict({'randomness.seed': seed + stage - 1})


def _has_no_source(cfg: Config) -> bool:
    """Return whether the anchors are those of a file."""
    hook = cfg.default_hooks.get('anchors') or {}
    keeps = not hook.get('recompute', True)
    return keeps and not cfg.get('anchor_dataloader')


def _end_before(folder: str, stage: int, length: int) -> Path:
    whole = Path(folder, f'iter_{length * (stage - 1)}.pth')
    alone = Path(folder, f'stage_{stage - 1}', f'iter_{length}.pth')
    found = [path for path in (whole, alone) if path.is_file()]
    if len(found) > 1:
        raise UserError(
            f'--stage {stage}: both {whole} and {alone} exist, expected '
            'load_from to name one'
        )
    for path in found:
        other = stage_length(read_provenance(path) or {})
        if other and other != length:
            raise UserError(
                f'{path}: has stages of {other} iterations, expected '
                f'{length}; set load_from to another'
            )
    return (found or [whole])[0]


def walk(node: object) -> Iterator[ConfigDict]:
    """Yield all dicts of a nested config."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from walk(value)


def set_iters(cfg: Config, iters: int) -> None:
    """Change the length of a run, or of each of its stages.

    A run without stages is then validated and saved at its end. If the
    schedule decays over more iterations, the final rate stays the same.
    """
    loop = cfg.train_cfg
    before = stage_length(cfg) or loop.max_iters
    if 'stage_iters' in loop:
        loop.stage_iters = iters
    else:
        loop.update(max_iters=iters, val_interval=iters)
        cfg.default_hooks.checkpoint.interval = iters
    for part in walk(cfg.get('param_scheduler')):
        if part.get('decay_iters'):
            decay = round(part['decay_iters'] / before * iters)
            part['decay_iters'] = max(1, decay)
