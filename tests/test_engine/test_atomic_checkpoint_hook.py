# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""AtomicCheckpointHook under a real Runner: what is kept, and a full disk."""

from __future__ import annotations

import resource
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_cag.engine.records import atomic_checkpoint_hook as checkpoint_room
from mmseg_cag.engine.records.atomic_checkpoint_hook import (
    AtomicCheckpointHook,
)
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_load import read_checkpoint
from tests import tiny


class FullDisk(Hook):
    """Let no file grow in some iterations."""

    priority = 'VERY_LOW'

    def __init__(self, steps: range) -> None:
        self.steps = steps

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        soft = 10_000 if runner.iter + 1 in self.steps else hard
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def full_disk() -> Iterator[None]:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@pytest.fixture
def cfg(tmp_path) -> Config:
    tiny.write_towns(tmp_path)
    cfg = tiny.adversarial_run(tmp_path, tmp_path / 'work', tiny.adversarial())
    cfg.default_hooks.checkpoint.update(
        type='AtomicCheckpointHook', max_keep_ckpts=2
    )
    cfg.custom_hooks.append(dict(type='ProvenanceHook'))
    cfg.train_cfg.max_iters = 4
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    return cfg


def train(cfg: Config, *full: int) -> set[str]:
    """Train with a disk that is full in some iterations; list the files."""
    runner = Runner.from_cfg(cfg)
    runner.register_hook(FullDisk(full))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        runner.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    return {path.name for path in Path(cfg.work_dir).glob('*.pth')}


def test_the_last_are_kept_with_what_tells_them(cfg):
    # The third one finds the disk full, and the second is not removed for it.
    assert train(cfg, 3) == {'iter_2.pth', 'iter_4.pth'}
    meta = read_checkpoint(Path(cfg.work_dir, 'iter_4.pth'))['meta']
    assert meta['versions']['torch'] == str(torch.__version__)
    assert meta['provenance']['train_cfg']['max_iters'] == 4


def test_an_end_that_is_on_no_disk_is_an_error(cfg):
    with pytest.raises(UserError, match=r'iter_4\.pth: could not be written'):
        train(cfg, 4)
    note = Path(cfg.work_dir, 'last_checkpoint').read_text()
    assert note.endswith('iter_3.pth')


def test_a_best_that_is_on_no_disk_is_not_the_best(cfg):
    cfg.default_hooks.checkpoint.save_best = 'mIoU'
    cfg.train_cfg.max_iters = 1
    runner = Runner.from_cfg(cfg)
    runner.train()
    [hook] = [h for h in runner.hooks if isinstance(h, AtomicCheckpointHook)]
    hub = runner.message_hub
    best = Path(cfg.work_dir, 'best_mIoU_iter_1.pth')

    def validate(score: float, iteration: int) -> list[Path]:
        runner.train_loop._iter = iteration
        hook.after_val_epoch(runner, {'mIoU': score})
        return sorted(Path(cfg.work_dir).glob('best_*.pth'))

    assert validate(10, 1) == [best]
    # A validation that is made up for has the same name.
    assert validate(11, 1) == [best]
    with full_disk():
        assert validate(20, 2) == [best]
    assert hub.get_info('best_score') == 11
    assert hub.get_info('best_ckpt') == hook.best_ckpt_path == str(best)
    assert validate(15, 3) == [best.with_name('best_mIoU_iter_3.pth')]
    saved = torch.load(Path(cfg.work_dir, 'iter_3.pth'), weights_only=False)
    assert saved['message_hub']['runtime_info']['best_score'] == 15


@pytest.mark.parametrize('key', ['out_dir', 'filename_tmpl'])
def test_another_folder_or_name_is_refused(key):
    with pytest.raises(UserError, match=f"{key}='x', expected none"):
        AtomicCheckpointHook(**{key: 'x'})


def test_a_validation_has_the_mean_statistics_of_all_ranks(monkeypatch):
    model = MODELS.build(tiny.segmentor()).double()
    norm = next(m for m in model.modules() if isinstance(m, _BatchNorm))
    norm.running_mean.fill_(1)
    own = {k: v.clone() for k, v in model.state_dict().items()}

    def gather(first: dict) -> list[dict]:
        first = {key: value.clone() for key, value in first.items()}
        return [first, {key: value + 2 for key, value in first.items()}]

    monkeypatch.setattr(checkpoint_room, 'all_gather_object', gather)
    monkeypatch.setattr(checkpoint_room, 'get_world_size', lambda: 2)
    runner = SimpleNamespace(model=model)
    hook = AtomicCheckpointHook()
    hook.before_val(runner)
    assert (norm.running_mean == 2).all()
    assert norm.num_batches_tracked == 0
    # As a best one saved there, and another outside of it.
    saved = {'state_dict': model.state_dict()}
    with hook._all_statistics(runner):
        hook.before_save_checkpoint(runner, saved)
    hook.after_val(runner)
    assert all(torch.equal(own[k], v) for k, v in model.state_dict().items())
    later = {'state_dict': model.state_dict()}
    with hook._all_statistics(runner):
        hook.before_save_checkpoint(runner, later)
    key = next(k for k in own if k.endswith('running_mean'))
    for one in (saved, later):
        assert (one['state_dict'][key] == 2).all()
        ranks = [rank[key][0] for rank in one['rank_statistics']]
        assert ranks == [1, 3]
    assert (norm.running_mean == 1).all()


def test_too_little_room_is_told_before_the_first_step(cfg, monkeypatch):
    usage = namedtuple('usage', 'free')(1000)
    monkeypatch.setattr(
        checkpoint_room.shutil, 'disk_usage', lambda folder: usage
    )
    with pytest.raises(UserError, match='MiB are free, expected'):
        train(cfg)
