# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.runner import Runner
from mmseg_cag.engine.resilience.late_iterator import LateIterator, load_late
from torch.utils.data import DataLoader

from mmseg_cag.datasets.uda_dataset import UDADataset
from tests import tiny


def loader(workers: int) -> DataLoader:
    return DataLoader(
        range(7),
        batch_size=2,
        sampler=InfiniteSampler(range(7), seed=3),
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def batches(data: LateIterator, count: int) -> list:
    return [batch.tolist() for batch in itertools.islice(data, count)]


@pytest.mark.parametrize('workers', [0, 2])
def test_batches_are_those_of_a_fresh_loader(workers):
    expected = batches(iter(loader(0)), 9)
    begun = loader(workers)
    next(iter(begun))  # and its workers have fetched more
    assert batches(LateIterator(begun), 9) == expected


@pytest.mark.parametrize('workers', [0, 2])
def test_it_goes_on_where_it_was(workers):
    expected = batches(iter(loader(0)), 9)
    begun = loader(workers)
    next(iter(begun))
    data = LateIterator(begun)
    data.resume(4)
    # mmengine 0.10.7 asks for what it skips.
    assert [next(data) for _ in range(4)] == [None] * 4
    assert batches(data, 5) == expected[4:]


def test_only_a_loop_that_has_begun_is_changed():
    endless = InfiniteSampler(range(7))
    for begun, sampler, size in (
        (None, endless, 2),
        (iter([]), [], 2),
        (iter([]), endless, None),  # a batch sampler chooses it
    ):
        data = SimpleNamespace(_iterator=begun)
        loop = SimpleNamespace(
            dataloader=SimpleNamespace(sampler=sampler, batch_size=size),
            dataloader_iterator=data,
        )
        load_late(loop)
        assert loop.dataloader_iterator is data


def test_a_resumed_run_loads_what_it_takes(tmp_path, monkeypatch, unformatted):
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'work', stage_iters=1)
    cfg.default_hooks.checkpoint.type = 'AtomicCheckpointHook'
    cfg.custom_hooks.append(dict(type='StopHook'))
    cfg.train_cfg.max_iters = 4
    Runner.from_cfg(cfg).train()
    loaded, load = [], UDADataset.__getitem__

    def noted(dataset: UDADataset, index: object) -> dict:
        loaded.append(index)
        return load(dataset, index)

    monkeypatch.setattr(UDADataset, '__getitem__', noted)
    cfg.train_cfg.max_iters = 6
    cfg.resume = True
    Runner.from_cfg(cfg).train()
    assert len(loaded) == 2 * cfg.train_dataloader.batch_size
    positions = [key[1] for key, _, _ in loaded]
    first = 4 * cfg.train_dataloader.batch_size
    assert positions == list(range(first, first + len(loaded)))
    assert torch.load(tmp_path / 'work/iter_6.pth', weights_only=False)
