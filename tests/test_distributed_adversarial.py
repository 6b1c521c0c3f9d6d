# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Adversarial methods on two processes, by the stock distributed wrapper."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.test_distributed import train_two

pytestmark = pytest.mark.long

ITERS = 3
MODELS = {
    'adaptsegnet': lambda: tiny.adversarial((0.1, 0.02)),
    'clan': lambda: tiny.clan(preheat=0.0),
}


@pytest.fixture(scope='module', params=MODELS)
def states(request, tmp_path_factory) -> list[list[dict]]:
    """Weights of both ranks after each iteration."""
    root = tmp_path_factory.mktemp(request.param)
    tiny.write_towns(root)
    cfg = tiny.adversarial_run(root, root / 'two', MODELS[request.param]())
    cfg.train_cfg.max_iters = ITERS
    cfg.default_hooks.checkpoint.interval = ITERS
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    train_two(root, cfg)
    return [
        [load(root / 'two', rank, step) for step in range(1, ITERS + 1)]
        for rank in (0, 1)
    ]


def load(folder: Path, rank: int, step: int) -> dict:
    saved = torch.load(folder / f'rank{rank}_{step}.pth')
    assert saved['kind'] == 'CPUDistributedDataParallel'
    return saved['state_dict']


def test_both_players_learn_the_same_on_all_ranks(states):
    first, second = states
    for one, two in zip(first, second, strict=True):
        for key in one:
            # Each rank had images of its own, and so batch statistics.
            if 'running_' not in key:
                assert torch.equal(one[key], two[key]), key
    statistics = [key for key in first[0] if 'running_' in key]
    assert not any(
        torch.equal(first[0][key], second[0][key]) for key in statistics
    )
    for key in first[0]:
        if key.endswith('.weight'):
            assert not torch.equal(first[0][key], first[-1][key]), key
