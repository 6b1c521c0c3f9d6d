# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Two processes with a mean teacher: all that MIC, HRDA and DAFormer have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from tests import tiny
from tests.test_distributed import train_two

pytestmark = pytest.mark.long

ITERS = 10


def config(root: Path, work_dir: Path) -> Config:
    model = ConfigDict(
        tiny.daformer(),
        type='MICSegmentor',
        masking=dict(type='Masking', block=8),
    )
    cfg = tiny.adversarial_run(root, work_dir, tiny.two_scales(model))
    cfg.train_cfg.update(max_iters=ITERS, val_interval=ITERS)
    cfg.default_hooks.checkpoint.update(
        type='AtomicCheckpointHook', interval=ITERS, save_best='mIoU'
    )
    cfg.default_hooks.teacher_validation = dict(type='TeacherValidationHook')
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
    )
    loader = cfg.train_dataloader
    order = dict(type='RareClassOrder', index=str(root / 'index.json'))
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
    return cfg


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('mean_teacher')
    tiny.write_towns(root)
    train_two(root, config(root, root / 'two'))
    return root


def test_ranks_hold_the_same(root):
    first, second = (kept(root / 'two', rank) for rank in (0, 1))
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


def test_the_network_that_is_validated_is_saved(root):
    lines = next((root / 'two').rglob('scalars.json')).read_text()
    logged = json.loads(lines.splitlines()[-1])
    ranks = [kept(root / 'two', rank)['state_dict'] for rank in (0, 1)]
    for name in (f'iter_{ITERS}.pth', f'best_mIoU_iter_{ITERS}.pth'):
        path = root / 'two' / name
        checkpoint = torch.load(path, weights_only=False)
        saved = checkpoint['state_dict']
        for key, value in saved.items():
            own = [state[key] for state in ranks]
            if value.is_floating_point():
                assert torch.equal(value, (sum(own) / 2).to(value)), key
        for own, state in zip(
            checkpoint['rank_statistics'], ranks, strict=True
        ):
            assert all(torch.equal(own[key], state[key]) for key in own)
        cfg = config(root, root / 'one')
        cfg.load_from = str(path)
        cfg.experiment_name = name
        cfg.default_hooks.pop('checkpoint')  # of training
        found = Runner.from_cfg(cfg).val()
        for key in ('mIoU', 'teacher/mIoU'):
            assert found[key] == pytest.approx(logged[key], abs=0.02)


def kept(folder: Path, rank: int) -> dict:
    return torch.load(folder / f'rank{rank}_{ITERS}.pth')
