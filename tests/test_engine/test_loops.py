# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What the loops do beside training: data, intervals, stages."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import (
    DefaultSampler,
    InfiniteSampler,
    pseudo_collate,
)
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from torch.utils.data import BatchSampler, DataLoader

from mmseg_cag.datasets.uda import UDADataset
from mmseg_cag.engine.loops import (
    TrainBatches,
    pin_batches,
    stop_workers,
    total_iters,
)
from mmseg_cag.engine.stages import divide_stage
from mmseg_cag.errors import UserError
from tests import tiny


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('loops')
    tiny.write_towns(root)
    return root


class OldSampler(InfiniteSampler):
    """The endless sampler of mmengine 0.10.7, which cannot skip."""

    skip = property()


def loader(workers: int, kind: type = InfiniteSampler) -> DataLoader:
    return DataLoader(
        range(7),
        batch_size=2,
        sampler=kind(range(7), seed=3),
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def take(batches: object, count: int) -> list:
    return [batch.tolist() for batch in itertools.islice(batches, count)]


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('kind', [InfiniteSampler, OldSampler, DefaultSampler])
def test_the_data_go_on_where_they_were(workers, kind):
    expected = take(TrainBatches(loader(0, kind)), 9)
    data = loader(workers, kind)
    batches = TrainBatches(data)
    assert data._iterator is None  # no worker has started
    batches.skip(4)
    assert take(batches, 5) == expected[4:]
    del batches
    stop_workers(data)


def test_a_sampler_with_an_end_begins_anew_and_in_another_order():
    taken = take(TrainBatches(loader(0, DefaultSampler)), 8)
    first, second = (sum(part, []) for part in (taken[:4], taken[4:]))
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second


def test_batches_of_a_batch_sampler_are_skipped_by_their_number():
    def batches() -> TrainBatches:
        sampler = InfiniteSampler(range(7), seed=3)
        chosen = BatchSampler(sampler, batch_size=2, drop_last=False)
        return TrainBatches(DataLoader(range(7), batch_sampler=chosen))

    expected, data = take(batches(), 5), batches()
    data.skip(3)
    assert take(data, 2) == expected[3:]


def test_data_without_a_batch():
    data = DataLoader(range(1), batch_size=2, drop_last=True)
    with pytest.raises(UserError, match='train_dataloader: no batch'):
        next(TrainBatches(data))


def test_a_resumed_run_loads_what_it_takes(root, tmp_path, monkeypatch):
    cfg = tiny.run_config(root, tmp_path, stage_iters=1)
    cfg.default_hooks.checkpoint.type = 'AtomicCheckpointHook'
    cfg.custom_hooks.append(dict(type='StopHook'))
    cfg.train_cfg.stages = 4
    Runner.from_cfg(cfg).train()
    loaded, load = [], UDADataset.__getitem__

    def noted(dataset: UDADataset, index: object) -> dict:
        loaded.append(index)
        return load(dataset, index)

    monkeypatch.setattr(UDADataset, '__getitem__', noted)
    cfg.train_cfg.stages = 6
    cfg.resume = True
    Runner.from_cfg(cfg).train()
    assert len(loaded) == 2 * cfg.train_dataloader.batch_size
    positions = [key[1] for key, _ in loaded]
    first = 4 * cfg.train_dataloader.batch_size
    assert positions == list(range(first, first + len(loaded)))
    assert torch.load(tmp_path / 'iter_6.pth', weights_only=False)


def test_a_resumed_run_has_the_seed_that_was_drawn(
    root, tmp_path, monkeypatch
):
    keys, load = [], UDADataset.__getitem__

    def noted(dataset: UDADataset, item: tuple) -> dict:
        keys.append(item[0])
        return load(dataset, item)

    monkeypatch.setattr(UDADataset, '__getitem__', noted)
    cfg = tiny.run_config(root, tmp_path, stage_iters=1)
    cfg.randomness = dict(seed=None)
    Runner.from_cfg(cfg).train()
    cfg.train_cfg.stages, cfg.resume = 3, True
    Runner.from_cfg(cfg).train()
    assert keys == [(keys[0][0], position) for position in range(6)]


@pytest.mark.parametrize('workers', [0, 2])
def test_one_labelled_domain_resumes_exactly(root, tmp_path, workers):
    def weights(folder: str, **start: object) -> dict:
        cfg = tiny.run_config(root, tmp_path / folder, workers=workers)
        tiny.one_stage(cfg, 4)
        tiny.drop_hooks(cfg, 'channels_last', 'check_data')
        cfg.model = dict(tiny.segmentor(), type='SupervisedSegmentor')
        cfg.train_dataloader.dataset.domains.pop('target')
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        cfg.update(start)
        Runner.from_cfg(cfg).train()
        path = tmp_path / folder / 'iter_4.pth'
        return torch.load(path, weights_only=False)['state_dict']

    whole = weights('whole')
    start = str(tmp_path / 'whole/iter_2.pth')
    rest = weights('rest', load_from=start, resume=True)
    assert all(torch.equal(rest[key], whole[key]) for key in whole)


@pytest.fixture
def pinned(monkeypatch) -> list[torch.Tensor]:
    """Pretend a GPU to loaders; returns what they pin."""
    found = []

    def pin_memory(tensor: torch.Tensor, *_: object) -> torch.Tensor:
        found.append(tensor)
        return tensor.clone()

    monkeypatch.setattr(torch.Tensor, 'pin_memory', pin_memory)
    accelerator = getattr(torch, 'accelerator', torch.cuda)
    for owner, name, value in (
        (torch.cuda, 'is_available', True),
        (torch.cuda, 'current_device', 0),
        (torch.cuda, 'set_device', None),
        (accelerator, 'is_available', True),
        (accelerator, 'current_accelerator', torch.device('cuda')),
        (accelerator, 'current_device_index', 0),
        (accelerator, 'set_device_index', None),
    ):
        new = lambda *_, value=value: value  # noqa: E731
        monkeypatch.setattr(owner, name, new, raising=False)
    return found


@pytest.mark.parametrize('workers', [0, 2])
def test_pinned_batches_are_the_same_and_their_labels_pinned(
    root, workers, request
):
    dataset = DATASETS.build(tiny.uda(root))
    samples = [dataset[tiny.item((0, i), i, i)] for i in range(4)]
    pinned = request.getfixturevalue('pinned')

    def batches(told: bool | None) -> list[dict]:
        data = DataLoader(
            samples, 2, num_workers=workers, collate_fn=pseudo_collate
        )
        pin_batches(data, told)
        return list(itertools.islice(TrainBatches(data), 2))

    plain = batches(False)
    assert not pinned
    for one, other in zip(plain, batches(None), strict=True):
        assert type(other) is dict and one.keys() == other.keys()
        for name, images in one['inputs'].items():
            assert all(map(torch.equal, images, other['inputs'][name]))
            for a, b in zip(
                one['data_samples'][name],
                other['data_samples'][name],
                strict=True,
            ):
                assert a.metainfo == b.metainfo and a.keys() == b.keys()
        for a, b in zip(
            *(batch['data_samples']['source'] for batch in (one, other)),
            strict=True,
        ):
            assert torch.equal(a.gt_sem_seg.data, b.gt_sem_seg.data)
    labels = [t for t in pinned if t.dtype == torch.int64]
    assert len(labels) == 4 and len(pinned) == 12


@pytest.mark.parametrize('told', [None, False])
def test_training_pins_unless_told_not_to(root, tmp_path, request, told):
    class Stop(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch):
            raise KeyError(*data_batch)

    cfg = tiny.run_config(root, tmp_path, stage_iters=1)
    if told is not None:
        cfg.train_dataloader.pin_memory = told
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Stop())
    pinned = request.getfixturevalue('pinned')
    with pytest.raises(KeyError, match="'inputs', 'data_samples'"):
        runner.train()
    assert bool(pinned) == (told is None)


def test_without_a_gpu_nothing_is_pinned():
    data = loader(0)
    before = data.collate_fn
    pin_batches(data)
    assert not data.pin_memory and data.collate_fn is before


class Record(Hook):
    """Note what happens at which iteration, and the rates."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.factors: list[float] = []

    def before_stage(self, runner) -> None:
        self.events.append(('stage', runner.iter))

    def before_train_iter(self, runner, **kwargs) -> None:
        self.factors.append(runner.optim_wrapper.get_lr()['lr'][0] / 1e-2)

    def before_val(self, runner) -> None:
        self.events.append(('val', runner.iter))

    def before_save_checkpoint(self, runner, checkpoint) -> None:
        self.events.append(('save', checkpoint['meta']['iter']))

    def at(self, event: str) -> list[int]:
        return sorted({step for name, step in self.events if name == event})


def recorded(cfg: Config) -> Record:
    record = Record()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(record)
    runner.train()
    return record


def test_the_length_of_a_stage_alone_changes_all_that_follows(root, tmp_path):
    """Loop, schedule, validations and checkpoints."""
    cfg = tiny.run_config(root, tmp_path)
    cfg.train_cfg.update(vals_per_stage=2, saves_per_stage=2)
    cfg.merge_from_dict({'train_cfg.stage_iters': 4})
    record = recorded(cfg)
    assert record.at('stage') == [0, 4]
    assert record.at('val') == record.at('save') == [2, 4, 6, 8]
    expected = [(1 - i / 4) ** 0.9 for i in (0, 1, 2, 3)]
    assert record.factors == pytest.approx(2 * expected, rel=1e-12)


def test_a_finished_run_goes_on_with_the_rate_of_a_longer_one(root, tmp_path):
    cfg = tiny.run_config(root, tmp_path)
    tiny.one_stage(cfg, 2)
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.param_scheduler[0].decay_iters = 5
    first = recorded(cfg).factors
    cfg.train_cfg.max_iters, cfg.resume = 4, True
    expected = [(1 - i / 5) ** 0.9 for i in range(4)]
    assert first + recorded(cfg).factors == pytest.approx(expected, rel=1e-12)


def test_a_run_without_stages_is_one_for_the_schedule(root, tmp_path):
    cfg = tiny.run_config(root, tmp_path)
    tiny.one_stage(cfg, 5)
    cfg.train_cfg.val_interval = 3
    record = recorded(cfg)
    assert record.at('stage') == [] and record.at('val') == [3, 5]
    expected = [(1 - i / 5) ** 0.9 for i in range(5)]
    assert record.factors == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ('iters', 'parts', 'interval'),
    [
        (62412, 12, 5201),
        (62412, 6, 10402),
        (5000, 12, 500),
        (7, 3, 7),
        (2, 12, 1),
        (1, 1, 1),
    ],
)
def test_the_end_of_a_stage_is_at_an_interval(iters, parts, interval):
    assert divide_stage(iters, parts) == interval
    assert iters % interval == 0


def test_the_iterations_of_a_run():
    assert total_iters(dict(type='UDATrainLoop', max_iters=9)) == 9
    assert total_iters(dict(stages=3, stage_iters=4, first_stage=2)) == 12
    for settings, message in (
        (dict(stages=3), 'train_cfg.stage_iters is missing'),
        (dict(max_epochs=3), 'train_cfg.stages is missing, .* max_iters'),
        (dict(max_iters='9'), "train_cfg.max_iters='9', expected a whole"),
        (dict(stages=0, stage_iters=4), 'train_cfg.stages=0, expected'),
    ):
        with pytest.raises(UserError, match=message):
            total_iters(settings)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(stages=0), 'train_cfg.stages=0, expected a whole number from 1'),
        (dict(stage_iters=2.5), 'train_cfg.stage_iters=2.5, expected'),
        (dict(vals_per_stage=0), 'train_cfg.vals_per_stage=0, expected'),
        (dict(saves_per_stage=-1), 'train_cfg.saves_per_stage=-1, expected'),
        (dict(first_stage=0), 'train_cfg.first_stage=0, expected'),
    ],
)
def test_settings_of_stages_are_checked(root, tmp_path, settings, message):
    cfg = tiny.run_config(root, tmp_path)
    cfg.train_cfg.update(settings)
    with pytest.raises(UserError, match=message) as caught:
        Runner.from_cfg(cfg).train()
    assert '\n' not in str(caught.value)


def test_a_model_without_stages(root, tmp_path):
    cfg = tiny.adversarial_run(root, tmp_path, tiny.bdl())
    cfg.train_cfg = dict(type='StageTrainLoop', stages=1, stage_iters=2)
    with pytest.raises(UserError, match='BDLSegmentor has no stages, expecte'):
        Runner.from_cfg(cfg).train()


@pytest.mark.parametrize('name', ['NonFiniteHook', 'StopHook'])
def test_the_loop_of_mmengine_is_refused_by_what_needs_ours(
    root, tmp_path, name
):
    cfg = tiny.adversarial_run(root, tmp_path, tiny.bdl())
    cfg.default_hooks.checkpoint.type = 'AtomicCheckpointHook'
    cfg.custom_hooks.append(dict(type=name))
    cfg.train_cfg.type = 'IterBasedTrainLoop'
    with pytest.raises(UserError) as caught:
        Runner.from_cfg(cfg).train()
    assert str(caught.value) == (
        f'{name}: train_cfg.type is IterBasedTrainLoop, expected UDATrainLoop '
        'or StageTrainLoop'
    )


def test_the_loop_of_mmengine_trains_as_ours(root, tmp_path):
    """With the hooks that do not need ours, and the schedule."""

    def weights(kind: str) -> dict:
        cfg = tiny.adversarial_run(root, tmp_path / kind, tiny.bdl())
        cfg.custom_hooks += [
            dict(type='MonitorHook', interval=2),
            dict(type='AnchorRecordHook'),
            dict(type='ResultSummaryHook'),
        ]
        cfg.train_cfg.type = kind
        Runner.from_cfg(cfg).train()
        path = tmp_path / kind / 'iter_6.pth'
        return torch.load(path, weights_only=False)['state_dict']

    one, two = weights('IterBasedTrainLoop'), weights('UDATrainLoop')
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_validation_that_was_missed_is_done_first(root, tmp_path):
    cfg = tiny.run_config(root, tmp_path, stage_iters=2)
    cfg.default_hooks.checkpoint.type = 'AtomicCheckpointHook'
    cfg.custom_hooks.append(dict(type='ResultSummaryHook'))
    assert recorded(copy.deepcopy(cfg)).at('val') == [2, 4]
    cfg.resume = True
    for name in ('iter_3.pth', 'iter_4.pth'):
        (tmp_path / name).unlink()
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_2.pth'))
    # That of iteration 2 is noted.
    assert recorded(copy.deepcopy(cfg)).at('val') == [4]
    (tmp_path / 'validation.json').unlink()
    cfg.train_cfg.stages = 3
    assert recorded(cfg).events[:2] == [('val', 4), ('stage', 4)]
