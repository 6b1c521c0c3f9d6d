# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Every method as a tiny run with the hooks of a real one."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from tests import tiny

RUNTIME = Path(__file__).parents[2] / 'configs/_base_/default_runtime.py'
STAGE = 3
OWN_HOOKS = ('anchors', 'norm_statistics')


def mean_teacher_run(root: Path, work_dir: Path) -> Config:
    """Six iterations of anchors in a mean teacher."""
    cfg = tiny.adversarial_run(root, work_dir, tiny.anchor_teacher())
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
    )
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    hook = dict(type='NormStatisticsHook', start=False)
    cfg.default_hooks.norm_statistics = hook
    return cfg


METHODS = {
    'CAG': lambda *where: tiny.run_config(*where, STAGE),
    'AdaptSegNet': lambda *where: tiny.adversarial_run(
        *where, tiny.adversarial((0.1, 0.2))
    ),
    'CLAN': lambda *where: tiny.adversarial_run(*where, tiny.clan()),
    'BDL': lambda *where: tiny.adversarial_run(*where, tiny.bdl()),
    'anchor teacher': mean_teacher_run,
    'translator': tiny.translator_run,
}


def config_of(method: str, root: Path, work_dir: Path) -> Config:
    """Make the config of a few iterations with a checkpoint at every second.

    Args:
        method: Its name in `METHODS`.
        root: Folder of the data.
        work_dir: Folder of the results.
    """
    cfg = METHODS[method](root, work_dir)
    runtime = Config.fromfile(RUNTIME)
    own = {k: v for k, v in cfg.default_hooks.items() if k in OWN_HOOKS}
    cfg.default_hooks = {**runtime.default_hooks, **own}
    cfg.default_hooks.checkpoint.interval = 2
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.monitor.interval = 2
    cfg.vis_backends = runtime.vis_backends[:1]
    cfg.visualizer = dict(
        type='SegLocalVisualizer', vis_backends=cfg.vis_backends
    )
    if cfg.train_cfg.type == 'UDATrainLoop':
        cfg.train_cfg.update(max_iters=2 * STAGE, val_interval=2)
    cfg.launcher = 'none'
    return cfg
