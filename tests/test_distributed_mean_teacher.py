# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Two processes with a mean teacher: all that MIC, HRDA and DAFormer have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict

from tests import tiny
from tests.test_distributed import train_two

pytestmark = pytest.mark.long

ITERS = 10


def test_ranks_hold_the_same(tmp_path):
    tiny.write_towns(tmp_path)
    model = ConfigDict(
        tiny.daformer(),
        type='MICSegmentor',
        masking=dict(type='Masking', block=8),
    )
    work_dir = tmp_path / 'two'
    cfg = tiny.adversarial_run(tmp_path, work_dir, tiny.two_scales(model))
    cfg.train_cfg.update(max_iters=ITERS, val_interval=ITERS)
    cfg.default_hooks.checkpoint.interval = ITERS
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
    )
    loader = cfg.train_dataloader
    order = dict(type='RareClassOrder', index=str(tmp_path / 'index.json'))
    loader.sampler.orders = dict(source=order)
    source = loader.dataset.domains.source
    load, labels, *crop, _ = source.pipeline
    source.pipeline = [
        load,
        labels,
        dict(type='RedrawCrop', transforms=crop),
        # Of one that an image of a rank may lack.
        dict(type='FindThings', things=[tiny.CAR]),
        dict(type='PackMarkedSegInputs'),
    ]
    train_two(tmp_path, cfg)
    first, second = (kept(work_dir, rank) for rank in (0, 1))
    state, other = first['state_dict'], second['state_dict']
    assert state['teacher.steps'] == ITERS
    statistics = [
        key
        for key in state
        if 'running_' in key and not key.startswith('start.')
    ]
    for key in state.keys() - set(statistics):
        assert torch.equal(state[key], other[key]), key
    # Each rank had images, windows and masks of its own.
    assert not any(torch.equal(state[k], other[k]) for k in statistics)
    assert first['losses'] != second['losses']


def kept(folder: Path, rank: int) -> dict:
    return torch.load(folder / f'rank{rank}_{ITERS}.pth')
