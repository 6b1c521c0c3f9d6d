# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Work dirs as finished runs leave them, made without training."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from tests import tiny

STAGE = 3  # iterations of a stage of tiny.run_config


def write_run(root: Path, stages: int = 2) -> Path:
    """Write towns and the work dir of a CAG run; returns the latter."""
    tiny.write_towns(root)
    cfg = tiny.run_config(root, root / 'run')
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    cfg.launcher = 'none'
    return save(cfg, root / 'run', range(1, stages + 1))


def save(cfg: Config, folder: Path, stages: range) -> Path:
    """Write a config and a checkpoint at the end of each stage."""
    folder.mkdir()
    # What `Config.dump` writes but for its layout, which takes seconds.
    lines = [f'{key} = {value!r}' for key, value in cfg.to_dict().items()]
    (folder / 'config.py').write_text('\n'.join(lines))
    for stage in stages:
        state = make_weights(cfg.model, stage)
        path = folder / f'iter_{stage * STAGE}.pth'
        torch.save({'meta': {}, 'state_dict': state}, path)
    return folder


def make_weights(model: dict, stage: int) -> dict[str, torch.Tensor]:
    """Draw the weights of a network, and anchors if it has some."""
    built = MODELS.build(model)
    for value in built.parameters():
        value.data = torch.randn_like(value)
    state = built.state_dict()
    if 'stage' in state:
        state['stage'].fill_(stage)
        state['anchor_bank.counts'].fill_(1)
        state['anchor_bank.anchors'].uniform_()
    return state


def make_plain(folder: Path) -> Path:
    """Write the run of a stock segmentor beside that of CAG."""
    cfg = Config.fromfile(folder / 'config.py')
    cfg.target_dataset = cfg.train_dataloader.dataset.domains.target
    cfg.train_dataloader.dataset = cfg.anchor_dataloader.dataset
    cfg.model = tiny.segmentor()
    tiny.one_stage(cfg, STAGE)
    tiny.drop_hooks(cfg, 'channels_last', 'check_data', 'step_seed')
    cfg.param_scheduler = []
    return save(cfg, folder.with_name('plain'), range(1, 2))
