# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from mmengine.config import ConfigDict
from mmseg.registry import HOOKS

from mmseg_cag.engine.records.atomic_checkpoint_hook import (
    AtomicCheckpointHook,
)
from mmseg_cag.engine.stages import StageTrainLoop
from mmseg_cag.errors import UserError


def messages(
    caplog, counts=1, stage_iters=6, interval=4, **scaling
) -> list[str]:
    """What is said of a batch of 4 for a recipe's of ``base_batch_size``."""
    runner = SimpleNamespace(
        cfg=ConfigDict(
            optim_wrapper=dict(accumulative_counts=counts),
            auto_scale_lr=scaling,
        ),
        train_dataloader=SimpleNamespace(batch_size=4),
        hooks=[
            AtomicCheckpointHook(by_epoch=False, interval=interval),
        ],
        logger=logging.getLogger('batch'),
    )
    runner.model = SimpleNamespace(start_stage=None)
    runner.train_loop = StageTrainLoop(
        runner, SimpleNamespace(dataset=None), 1, stage_iters
    )
    with caplog.at_level('INFO', 'batch'):
        HOOKS.build(dict(type='EffectiveBatchHook')).before_train(runner)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize('scaling', [{}, dict(base_batch_size=4)])
def test_the_batch_is_told(scaling, caplog):
    [line] = messages(caplog, **scaling)
    assert 'Effective batch: 4 images' in line


def test_another_batch_than_the_recipe_s_is_warned_of(caplog):
    *_, line = messages(caplog, counts=2, base_batch_size=4)
    assert caplog.records[-1].levelname == 'WARNING'
    assert ': 8 images, the recipe has 4' in line
    assert 'multiply them by 2' in line


def test_scaled_rates_are_told(caplog):
    *_, line = messages(caplog, base_batch_size=16, enable=True)
    assert 'learning rates are multiplied by 0.25' in line
    assert caplog.records[-1].levelname == 'INFO'


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(counts=4), 'accumulative_counts=4: does not divide stage_iters'),
        (
            dict(counts=3),
            'does not divide interval=4 of AtomicCheckpointHook',
        ),
        (
            dict(counts=2, base_batch_size=4, enable=True),
            'accumulative_counts=2, which mmengine ignores',
        ),
    ],
)
def test_what_would_be_wrong_is_refused(settings, message, caplog):
    with pytest.raises(UserError, match=message):
        messages(caplog, **settings)
