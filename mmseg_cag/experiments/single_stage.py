# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from mmseg_cag.errors import UserError


def select_stage(cfg: Config, stage: int) -> None:
    """Let a run train one of its config's stages alone.

    It starts from ``load_from`` or, by default, from the end of the stage
    before in the folder of the whole run (stage 1 starts as the run does),
    and has a folder of its own in that one.

    Args:
        cfg: The run's config, changed in place.
        stage: Number of the stage, from 1.

    Raises:
        UserError: The config has no such stage.
    """
    labelers = [h for h in cfg.custom_hooks if h['type'] == 'LabelerHook']
    if not labelers:
        raise UserError(
            f'--stage {stage}: {cfg.filename} has no stages, expected a '
            'config with a LabelerHook'
        )
    [labeler] = labelers
    length = labeler['stage_iters']
    stages = cfg.train_cfg.max_iters // length
    if not 1 <= stage <= stages:
        raise UserError(
            f'--stage {stage}: does not exist, {cfg.filename} has the stages '
            f'1 to {stages}'
        )
    if stage > 1 and not cfg.get('load_from'):
        end = f'iter_{length * (stage - 1)}.pth'
        cfg.load_from = str(Path(cfg.work_dir, end))
    cfg.work_dir = str(Path(cfg.work_dir, f'stage_{stage}'))
    cfg.train_cfg.max_iters = length
    labeler['first_stage'] = stage
    # The data's order is a function of the seed and the iteration, which is
    # 0 again: without this each stage would see the same pairs.
    cfg.randomness.seed += stage - 1
