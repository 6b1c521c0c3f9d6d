# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Losses are fetched when they are logged, none is left out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmseg.registry import HOOKS
from torch.utils.data import DataLoader


@pytest.fixture
def runner(request) -> SimpleNamespace:
    return SimpleNamespace(
        hooks=[HOOKS.build(dict(type='LoggerHook', interval=3))],
        message_hub=MessageHub(f'of {request.node.name}'),
        train_dataloader=DataLoader(range(100)),
        iter=0,
        epoch=0,
        max_epochs=1,
        max_iters=7,
        train_loop=SimpleNamespace(max_iters=7, max_epochs=1),
        cfg=SimpleNamespace(pretty_text=''),
        seed=0,
        optim_wrapper=OptimWrapper(
            torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
        ),
    )


def logged(runner: SimpleNamespace) -> list[float]:
    scalars = runner.message_hub.log_scalars
    return scalars['train/loss'].data[0].tolist() if scalars else []


def test_none_is_left_out(runner):
    hook = HOOKS.build(dict(type='LossLogHook'))
    hook.before_train(runner)
    seen = []
    for step in range(7):
        runner.iter = step
        hook.after_train_iter(
            runner, step, outputs={'loss': torch.tensor(float(step))}
        )
        seen.append(len(logged(runner)))
    # At the log's interval; the last one at the end.
    assert seen == [0, 0, 3, 3, 3, 6, 6]
    checkpoint = {}
    hook.before_save_checkpoint(runner, checkpoint)
    kept = checkpoint['message_hub']['log_scalars']['train/loss']
    assert kept.data[0].tolist() == logged(runner) == list(range(7))


def test_those_before_a_rollback_are_forgotten(runner):
    hook = HOOKS.build(dict(type='LossLogHook'))
    hook.before_train(runner)
    hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(1.0)})
    hook.after_load_checkpoint(runner, {})
    hook.before_save_checkpoint(runner, {})
    assert logged(runner) == []
