# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A config of one source and one target trains as it always did.

The losses are those of commit b41fe01, before there were several domains.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_cag.launch.stages import walk
from mmseg_cag.stack import is_installed
from tests import tiny

CONFIG = Path(__file__).parents[1] / 'configs/minitown/cag.py'
LOSSES = {
    'source.loss_ce': [2.9445467, 2.7809880, 2.5569041],
    'source.loss_anchor': [6.5801322e-4, 4.2847034e-2, 5.0958853e-2],
    'target.loss_ce_anchor': [2.9443736, 2.5435407, 1.9626855],
    'target.loss_anchor': [8.4026140e-4, 4.4398542e-2, 5.1193953e-2],
    'target.active_anchor': [0.92431641, 0.92480469, 0.95800781],
}


class KeepLosses(Hook):
    def __init__(self) -> None:
        self.losses: dict[str, list[float]] = {}

    def after_train_iter(self, runner, batch_idx, data_batch, outputs) -> None:
        for name, value in outputs.items():
            self.losses.setdefault(name, []).append(value.item())


@pytest.mark.skipif(
    not is_installed('onedl-mmsegmentation'),
    reason='the losses are those of the maintained packages',
)
@pytest.mark.long
def test_three_steps_of_cag(tmp_path, monkeypatch):
    tiny.write_towns(tmp_path)
    monkeypatch.setenv('MINITOWN_ROOT', str(tmp_path))
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.pretrained = None
    # No margin gives labels of random weights the precision asked for.
    cfg.model.pseudo_label_head.margin = 0.005
    for step in walk(cfg._cfg_dict['train_dataloader']):
        for key in ('scale', 'crop_size'):
            if key in step:
                step[key] = tuple(side // 2 for side in step[key])
    for loader in (cfg.train_dataloader, cfg.anchor_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    # Adam's first steps are the gradient's sign, which rounding may turn.
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.3, momentum=0.9)
    cfg.train_cfg.update(stages=1, stage_iters=3)
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.default_hooks = {
        name: cfg.default_hooks[name] for name in ('anchors', 'step_seed')
    }
    cfg.custom_hooks = []
    cfg.update(work_dir=str(tmp_path), randomness=dict(seed=3))
    runner = Runner.from_cfg(cfg)
    kept = KeepLosses()
    runner.register_hook(kept)
    runner.train()
    for name, values in LOSSES.items():
        assert kept.losses[name] == pytest.approx(values, rel=1e-4)
