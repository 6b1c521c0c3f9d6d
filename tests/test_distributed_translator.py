# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""An image translator on two processes, by the stock distributed wrapper."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from tests import tiny
from tests.test_distributed import train_two

pytestmark = pytest.mark.long

ITERS = 4


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    """Results of a run, of one that goes on from it, and of one rank."""
    root = tmp_path_factory.mktemp('translator')
    tiny.write_towns(root)
    for name in ('straight', 'resumed'):
        cfg = tiny.translator_run(root, root / name)
        cfg.default_hooks.checkpoint.interval = 2
        cfg.train_dataloader.batch_size = 1
        cfg.custom_hooks.append(dict(type='KeepRankHook'))
        if name == 'resumed':
            cfg.load_from = str(root / 'straight' / 'iter_2.pth')
            cfg.resume = True
        train_two(root, cfg)
    cfg = tiny.translator_run(root, root / 'one')
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    Runner.from_cfg(cfg).train()
    return root


def load(folder: Path, rank: int, iteration: int = ITERS) -> dict:
    saved = torch.load(folder / f'rank{rank}_{iteration}.pth')
    many = folder.name != 'one'
    assert many == (saved['kind'] == 'CPUDistributedDataParallel')
    return saved['state_dict']


def test_ranks_hold_the_same_pools_and_weights(root):
    first, second = (load(root / 'straight', rank) for rank in (0, 1))
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key
    # The images of both.
    assert first['pools.target.seen'] == 2 * ITERS


def test_a_resumed_run_is_the_one_never_stopped(root):
    for rank in (0, 1):
        one, two = (
            load(root / name, rank) for name in ('straight', 'resumed')
        )
        for key in one:
            assert torch.equal(one[key], two[key]), key


@pytest.mark.parametrize('iteration', [1, ITERS])
def test_two_ranks_learn_what_one_of_twice_the_batch_does(root, iteration):
    one, two = (
        load(root / name, 0, iteration) for name in ('one', 'straight')
    )
    for key in one:
        # Adam makes a step of the rounding in the gradient of an idle bias.
        if not key.endswith('bias'):
            torch.testing.assert_close(
                one[key], two[key], rtol=1e-3, atol=1e-5
            )
