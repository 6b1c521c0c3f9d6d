# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""StepSeedHook and ChannelsLastHook."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmseg.registry import HOOKS, MODELS

from mmseg_cag.engine.runtime import step_hooks as step_seed_hook
from tests import tiny


def draws(monkeypatch, seed=1, rank=0, iteration=5) -> torch.Tensor:
    monkeypatch.setattr(step_seed_hook, 'get_rank', lambda: rank)
    hook = HOOKS.build(dict(type='StepSeedHook'))
    runner = SimpleNamespace(seed=seed, iter=iteration)
    hook.before_train_iter(runner, batch_idx=iteration)
    return torch.rand(100)


def test_a_step_draws_the_same_whatever_went_before(monkeypatch):
    first = draws(monkeypatch)
    torch.rand(17)
    assert torch.equal(draws(monkeypatch), first)


@pytest.mark.parametrize(
    'other', [dict(seed=2), dict(rank=1), dict(iteration=6)]
)
def test_seeds_ranks_and_steps_draw_differently(monkeypatch, other):
    first = draws(monkeypatch)
    assert (draws(monkeypatch, **other) == first).float().mean() < 0.1


@pytest.mark.parametrize('moment', ['before_train', 'before_test'])
def test_channels_last_keeps_every_value(moment):
    model = MODELS.build(tiny.cag())
    before = {k: v.clone() for k, v in model.state_dict().items()}
    hook = HOOKS.build(dict(type='ChannelsLastHook'))
    getattr(hook, moment)(SimpleNamespace(model=model))
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)
    weight = model.decode_head.convs[0].conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
