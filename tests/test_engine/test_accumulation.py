# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Accumulated gradients are those of the large batch."""

from __future__ import annotations

import copy
import os
import signal

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.runner import Runner
from torch import nn

from mmseg_cag.engine.optim.poly_restart import PolyRestartLR
from tests import tiny
from tests.alternating import draw, joint_losses, make

COUNTS, UPDATES = 2, 3
METHODS = {
    'cag': lambda: tiny.cag(by=('anchor', 'probability')),
    'adaptsegnet': lambda: tiny.adversarial((0.1, 0.02)),
    'clan': lambda: tiny.clan(preheat=-1.0),
}


def optim_of(name: str) -> dict:
    if name != 'cag':
        return tiny.joint_optim()
    sgd = dict(type='SGD', lr=1e-2, momentum=0.9)
    return dict(type='OptimWrapper', optimizer=sgd)


def train(model: nn.Module, optim: dict, batches: list[tuple]) -> None:
    wrapper = build_optim_wrapper(model, optim)
    wrapper.initialize_count_status(model, 0, len(batches))
    for batch in batches:
        with wrapper.optim_context(model):
            losses = joint_losses(model, batch)
        wrapper.update_params(model.parse_losses(losses)[0])


@pytest.mark.parametrize('name', METHODS)
def test_it_is_the_large_batch(name):
    config = METHODS[name]()
    config.norm_eval = True
    model = make(config)
    if name == 'cag':
        model.anchor_bank.anchors.normal_()
        model.anchor_bank.counts.fill_(1)
    start, twin = copy.deepcopy(model.state_dict()), copy.deepcopy(model)
    small = [draw() for _ in range(COUNTS * UPDATES)]
    large = [
        tuple(torch.cat(part) for part in zip(*some, strict=True))
        for some in zip(
            *(small[i::COUNTS] for i in range(COUNTS)), strict=True
        )
    ]
    train(model, {**optim_of(name), 'accumulative_counts': COUNTS}, small)
    train(twin, optim_of(name), large)
    found, expected = model.state_dict(), twin.state_dict()
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(
            found[key], expected[key], rtol=1e-12, atol=1e-12
        )
        moved = (parameter - start[key]).abs().max() > 1e-6
        assert moved or not parameter.requires_grad, key


def test_a_mean_teacher_follows_once_an_update(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = tiny.adversarial_run(tmp_path, tmp_path / 'run', tiny.dacs())
    sgd = dict(type='SGD', lr=1e-2)
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=sgd, accumulative_counts=COUNTS
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert int(runner.model.teacher.steps) == 6 / COUNTS


class Interrupt(Hook):
    """Send a signal in the validation after an iteration."""

    def before_val_iter(self, runner: Runner, **kwargs: object) -> None:
        if runner.iter == 3:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize('interrupted', [True, False])
def test_no_checkpoint_lies_within_an_update(tmp_path, interrupted):
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run')
    tiny.one_stage(cfg, 6)
    cfg.model = tiny.dacs()
    cfg.optim_wrapper.accumulative_counts = COUNTS
    # The first validation gives the best so far.
    cfg.train_cfg.val_interval = 3
    cfg.default_hooks.checkpoint.update(
        type='AtomicCheckpointHook', interval=2, save_best='mIoU'
    )
    cfg.default_hooks.stop = dict(type='StopHook')
    runner = Runner.from_cfg(cfg)
    if interrupted:
        runner.register_hook(Interrupt())
        with pytest.raises(SystemExit):
            runner.train()
    else:
        runner.train()
    assert (tmp_path / 'run/best_mIoU_iter_3.pth').exists() or not interrupted
    found = sorted(path.name for path in (tmp_path / 'run').glob('iter_*'))
    end = [] if interrupted else ['iter_6.pth']
    assert found == ['iter_2.pth', 'iter_4.pth', *end]


def test_the_schedule_is_that_of_the_large_batch():
    def rates(counts: int) -> list[float]:
        sgd = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
        wrapper = OptimWrapper(sgd, accumulative_counts=counts)
        schedule = PolyRestartLR(
            wrapper,
            warmup_iters=2 * counts,
            end=8 * counts,
            by_epoch=False,
        )
        schedule.restart_iters = 4 * counts
        found = []
        for _ in range(8 * counts):
            found += wrapper.get_lr()['lr']
            schedule.step()
        return found

    assert rates(3) == [rate for rate in rates(1) for _ in range(3)]
    assert len(set(rates(1))) == 4
