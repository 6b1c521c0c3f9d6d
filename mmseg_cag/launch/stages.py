# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The stages of a config: their length, and one of them alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmseg_cag.datasets.dataset_configs import hooks_of
from mmseg_cag.engine.records.recipe import read_recipe
from mmseg_cag.engine.stages.stage_hook import check_stage_lengths
from mmseg_cag.errors import UserError


def stage_lengths(cfg: dict) -> list[tuple[str, int]]:
    """Find the parts of a run that know the iterations of a stage.

    Args:
        cfg: The run's config, or its recipe.

    Returns:
        Type and iterations of each; empty where no hook acts at the start of
        a stage.
    """
    hooks = [hook for hook in hooks_of(cfg) if 'stage_iters' in hook]
    if not hooks:
        return []
    schedulers = cfg.get('param_scheduler') or []
    if isinstance(schedulers, dict):
        schedulers = [schedulers]
    parts = [*hooks, *(s for s in schedulers if 'stage_iters' in s)]
    return [(part['type'], part['stage_iters']) for part in parts]


def count_stages(cfg: Config) -> int:
    """Count the stages of a run; 1 where it has none."""
    lengths = stage_lengths(cfg)
    return cfg.train_cfg.max_iters // lengths[0][1] if lengths else 1


def require_equal_stages(cfg: Config) -> None:
    """Check, before a run is built, that its stages have one length.

    Raises:
        UserError: They have not, or do not divide the run.
    """
    if lengths := stage_lengths(cfg):
        if 'max_iters' not in cfg.train_cfg:
            raise UserError(
                'train_cfg.max_iters is missing: stages are counted in '
                'iterations, expected IterBasedTrainLoop'
            )
        check_stage_lengths(lengths, cfg.train_cfg.max_iters)


def shorten_stages(cfg: Config, iters: int) -> None:
    """Give each stage of a config another length; their number stays.

    Args:
        cfg: The run's config, changed in place.
        iters: Iterations of a stage, from 1.

    Raises:
        UserError: The config has no stages, or the length is none.
    """
    lengths = stage_lengths(cfg)
    if not lengths or iters < 1:
        raise UserError(
            f'--stage-iters {iters}: expected a positive number, and a config '
            f'with stages, {cfg.filename}'
        )
    require_equal_stages(cfg)
    _, length = lengths[0]
    set_stages(cfg, iters, count_stages(cfg))


def select_stage(cfg: Config, stage: int) -> None:
    """Let a run train one of its config's stages alone.

    It starts from ``load_from`` or, by default, from the end of the stage
    before, in the folder of the whole run or of that stage alone (stage 1
    starts as the run does), and has a folder of its own in that one.

    Args:
        cfg: The run's config, changed in place.
        stage: Number of the stage, from 1.

    Raises:
        UserError: The config has no such stage.
    """
    hooks = {hook['type']: hook for hook in hooks_of(cfg)}
    if 'LabelerHook' not in hooks:
        raise UserError(
            f'--stage {stage}: {cfg.filename} has no stages, expected a '
            'config with a LabelerHook'
        )
    require_equal_stages(cfg)
    length = hooks['LabelerHook']['stage_iters']
    stages = count_stages(cfg)
    if not 1 <= stage <= stages:
        raise UserError(
            f'--stage {stage}: does not exist, {cfg.filename} has the stages '
            f'1 to {stages}'
        )
    if stage > 1 and not cfg.get('load_from'):
        cfg.load_from = str(_end_before(cfg.work_dir, stage, length))
    cfg.work_dir = str(Path(cfg.work_dir, f'stage_{stage}'))
    cfg.train_cfg.max_iters = length
    hooks['LabelerHook']['first_stage'] = stage
    if stage > 1 and 'AnchorHook' in hooks:
        # A file of anchors is what the whole run begins with.
        hooks['AnchorHook']['init_from'] = None
    # The data's order is a function of the seed and the iteration, which is
    # 0 again: without this each stage would see the same pairs.
    seed = cfg.get('randomness', {}).get('seed') or 0
    cfg.merge_from_dict({'randomness.seed': seed + stage - 1})


def _end_before(folder: str, stage: int, length: int) -> Path:
    whole = Path(folder, f'iter_{length * (stage - 1)}.pth')
    alone = Path(folder, f'stage_{stage - 1}', f'iter_{length}.pth')
    found = [path for path in (whole, alone) if path.is_file()]
    if len(found) > 1:
        raise UserError(
            f'--stage {stage}: both {whole} and {alone} are there, expected '
            'load_from to name one'
        )
    for path in found:
        recipe = read_recipe(path) or {}
        lengths = {value for _, value in stage_lengths(recipe)}
        if lengths and lengths != {length}:
            raise UserError(
                f'{path}: is of stages of {max(lengths)} iterations, expected '
                f'{length}; name another as load_from'
            )
    return (found or [whole])[0]


def walk(node: object) -> Iterator[ConfigDict]:
    """Visit all dicts of a nested config."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from walk(value)


def set_stages(cfg: Config, iters: int, stages: int) -> None:
    """Give a config stages of another length."""
    cfg.train_cfg.update(max_iters=iters * stages, val_interval=iters)
    cfg.default_hooks.checkpoint.interval = iters
    for part in walk(cfg._cfg_dict):
        if 'stage_iters' not in part or 'type' not in part:
            continue
        if part.get('decay_iters'):
            # The rate at a stage's end stays what it was.
            share = part['decay_iters'] / part['stage_iters']
            part['decay_iters'] = round(share * iters)
        part['stage_iters'] = iters
