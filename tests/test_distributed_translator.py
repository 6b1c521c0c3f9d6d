# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""An image translator on two processes, by the stock distributed wrapper."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.test_distributed import train_two

ITERS = 4


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    """Results of a run and of one that goes on from its middle."""
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
    return root


def load(folder: Path, rank: int) -> dict:
    saved = torch.load(folder / f'rank{rank}_{ITERS}.pth')
    assert saved['kind'] == 'CPUDistributedDataParallel'
    return saved['state_dict']


def test_ranks_hold_the_same_pools_and_weights(root):
    first, second = (load(root / 'straight', rank) for rank in (0, 1))
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key
    # The images of both.
    assert first['pools.target.seen'] == 2 * ITERS


@pytest.mark.xfail(
    reason='on two ranks the generators of a resumed run are off by up to one '
    'step of Adam; one process is bit-equal (test_translator_run)'
)
def test_a_resumed_run_is_the_one_never_stopped(root):
    for rank in (0, 1):
        one, two = (
            load(root / name, rank) for name in ('straight', 'resumed')
        )
        for key in one:
            assert torch.equal(one[key], two[key]), key
