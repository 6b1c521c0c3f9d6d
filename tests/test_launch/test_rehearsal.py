# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What only building and reading tells, told before any run is trained."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict

from mmseg_cag.errors import UserError
from mmseg_cag.launch import chain, rehearsal
from tests import tiny

ROLES = chain.TRAINING


@pytest.fixture(scope='module')
def towns(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('towns')
    tiny.write_towns(root)
    return root


@pytest.fixture
def cfg(towns: Path, tmp_path: Path) -> Config:
    cfg = tiny.run_config(towns, tmp_path, 2)
    cfg.launcher = 'none'
    return cfg


def refused(cfg: Config, roles: tuple = ROLES) -> str:
    with pytest.raises(UserError) as caught:
        rehearsal.rehearse(cfg, roles)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_a_good_run_passes_and_leaves_random_states(cfg):
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = copy.deepcopy(cfg.to_dict())
    rehearsal.rehearse(cfg, ROLES, ahead=True)
    found = random.random(), np.random.rand(), torch.rand(()).item()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert found == (random.random(), np.random.rand(), torch.rand(()).item())
    assert cfg.to_dict() == before


def proda() -> dict:
    return ConfigDict(tiny.segmentor(), type='ProDASegmentor')


def of_domains(**others: dict) -> dict:
    """A preprocessor for each of some domains, and one for the rest."""
    same = tiny.preprocessor()
    return dict(type='UDADataPreprocessor', domains=others, default=dict(same))


OTHER = tiny.preprocessor(mean=[1.0, 2.0, 3.0])
SWAPPED = dict(tiny.preprocessor(), bgr_to_rgb=False)


@pytest.mark.parametrize(
    ('model', 'preprocessor', 'told'),
    [
        (tiny.dacs, of_domains(source=OTHER), 'source'),
        (tiny.dacs, of_domains(source=SWAPPED), 'source'),
        (tiny.dacs, of_domains(source=tiny.preprocessor()), None),
        (tiny.daformer, of_domains(night=OTHER), 'night'),
        (tiny.cag, of_domains(source=OTHER, night=OTHER), None),
        (proda, of_domains(night=OTHER), 'night'),
        (proda, of_domains(source=OTHER), None),
    ],
)
def test_images_that_are_mixed_are_normalised_alike(
    cfg, model, preprocessor, told
):
    cfg.model = model()
    cfg.model.data_preprocessor = preprocessor
    domains = cfg.train_dataloader.dataset.domains
    members = dict(day=domains.target, night=domains.target)
    domains.target = dict(type='DomainPool', members=members)
    if told:
        line = f'data_preprocessor: {told} is normalised unlike target'
        assert line in refused(cfg, ('train',))
    else:
        rehearsal.rehearse(cfg, ('train',))


def test_heads_have_the_classes_of_the_data(cfg):
    cfg.model.decode_head.num_classes = 3
    assert 'decode_head.num_classes' in refused(cfg)


def test_a_batch_must_pass_the_network(cfg):
    cfg.model.decode_head.in_channels = 16
    line = refused(cfg)
    assert line.startswith('model: a batch (2, 3, 32, 64) does not pass')


def test_a_batch_norm_needs_more_than_one_value(cfg):
    pooled = dict(type='PSPHead', pool_scales=(1, 2))
    for key in ('num_convs', 'concat_input'):
        cfg.model.decode_head.pop(key)
    cfg.model.decode_head.update(pooled)
    rehearsal.rehearse(cfg, ROLES)
    cfg.train_dataloader.batch_size = 1
    assert refused(cfg).startswith('train_dataloader.batch_size=1')


SHARES = dict(shares=dict(one=0.5, two=0.5))
ABSENT = dict(absent=dict(two=['road']))


def pool(cfg: Config, **settings: dict) -> dict:
    source = cfg.train_dataloader.dataset.domains.source
    members = dict(one=source, two=source)
    return dict(type='DomainPool', members=members, **settings)


@pytest.mark.parametrize('kind', ['InfiniteSampler', 'DefaultSampler'])
def test_a_batch_of_more_images_than_there_are(cfg, kind):
    tiny.one_stage(cfg, 2)
    cfg.model = tiny.segmentor()
    loader = cfg.train_dataloader
    loader.dataset = loader.dataset.domains.source
    loader.update(batch_size=9, drop_last=True, sampler=dict(type=kind))
    if kind == 'InfiniteSampler':
        rehearsal.rehearse(cfg, ROLES)
    else:
        assert refused(cfg).startswith('train_dataloader: no batch, expected')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [(SHARES, 'shares of a Dom'), (ABSENT, 'absent classes of a Dom')],
)
def test_a_pool_alone_is_not_heeded(cfg, settings, message):
    tiny.one_stage(cfg, 2)
    cfg.model = tiny.segmentor()
    loader = cfg.train_dataloader
    bare, loader.dataset = pool(cfg, **settings), pool(cfg)
    loader.sampler = dict(type='InfiniteSampler')
    rehearsal.rehearse(cfg, ROLES)
    for dataset in (bare, dict(type='SkipBadFiles', dataset=bare)):
        loader.dataset = dataset
        line = refused(cfg)
        assert f'train_dataloader.dataset: {message}' in line
        assert 'SupervisedSegmentor' in line


def test_a_pool_that_is_a_domain_is_heeded_by_this_project(cfg):
    tiny.one_stage(cfg, 2)
    domains = cfg.train_dataloader.dataset.domains
    domains.pop('target')
    domains.source = pool(cfg, **SHARES, **ABSENT)
    cfg.model = tiny.segmentor()
    assert 'absent classes of a Dom' in refused(cfg)
    cfg.model.type = 'SupervisedSegmentor'
    rehearsal.rehearse(cfg, ROLES)
    domains.source = dict(type='SkipBadFiles', dataset=domains.source)
    assert 'shares of a Dom' in refused(cfg)


def test_a_step_that_lacks_something_is_named(cfg):
    target = cfg.train_dataloader.dataset.domains.target
    target.pipeline.insert(1, dict(type='GenerateEdge'))
    line = refused(cfg)
    assert 'domains.target.pipeline.1 (GenerateEdge): reads' in line


def test_an_address_must_answer(cfg, monkeypatch):
    def load(*args: object) -> None:
        raise OSError('no network')

    loader = SimpleNamespace(load_checkpoint=load)
    monkeypatch.setattr(rehearsal, 'CheckpointLoader', loader)
    cfg.load_from = 'https://example.invalid/x.pth'
    line = refused(cfg)
    assert line.startswith('load_from=https://example.invalid/x.pth: expected')


@pytest.mark.parametrize(
    ('path', 'value'),
    [
        ('custom_hooks', [dict(type='StopHook', often=1)]),
        ('optim_wrapper.optimizer.betas', 'x'),
        ('model.data_preprocessor.mean', [1.0, 2.0]),
        ('val_evaluator', dict(type='UDAIoUMetric', iou_metrics=['mDice'])),
    ],
)
def test_what_a_class_says_of_its_settings_is_one_line(cfg, path, value):
    if path.startswith('model'):
        cfg.model.data_preprocessor = tiny.preprocessor()
    cfg.merge_from_dict({path: value})
    assert ': ' in refused(cfg)


@pytest.mark.parametrize(
    ('path', 'value', 'told'),
    [
        ('param_scheduler', [dict(type='PolyRestartLR')], 'by_epoch=True'),
        ('param_scheduler.0.powr', 1, 'param_scheduler: TypeError'),
        ('default_hooks.anchors.init_from', 'gone', 'gone: no such file'),
        ('anchor_dataloader', None, 'anchor_dataloader is missing'),
        ('default_hooks.anchors.type', 'ForeignAnchorHook', 'ForeignAnchorS'),
    ],
)
def test_rates_and_anchors_are_told_before_any_training(
    cfg, path, value, told
):
    cfg.merge_from_dict({path: value})
    assert told in refused(cfg)


def test_a_test_needs_no_file_of_anchors(cfg):
    cfg.default_hooks.anchors.init_from = 'gone'
    rehearsal.rehearse(cfg, ('val',))


@pytest.mark.parametrize('by_name', [True, False])
def test_schedules_of_several_optimizers(cfg, by_name):
    tiny.one_stage(cfg, 2)
    cfg.model, cfg.optim_wrapper = tiny.adversarial(), tiny.joint_optim()

    def schedules(**settings: object) -> dict | list:
        own = [dict(type='PolyRestartLR', by_epoch=False, **settings)]
        names = cfg.optim_wrapper.members
        return dict.fromkeys(names, own) if by_name else own

    cfg.param_scheduler = schedules()
    rehearsal.rehearse(cfg, ROLES)
    cfg.param_scheduler = schedules(decay=3)
    assert 'param_scheduler: TypeError' in refused(cfg)


def test_batches_must_fit_into_shared_memory(cfg, monkeypatch):
    monkeypatch.setattr(rehearsal, 'shared_memory', lambda: 2**16)
    rehearsal.rehearse(cfg, ROLES)  # without workers
    cfg.train_dataloader.num_workers = 4
    line = refused(cfg)
    assert '0 MiB are free, expected 1 MiB for the batches' in line
    monkeypatch.setattr(rehearsal, 'shared_memory', lambda: None)
    rehearsal.rehearse(cfg, ROLES)
    # As many batches of as many bytes as the workers hold, on every rank.
    batch = 2 * 2 * 3 * 32 * 64 + 2 * 8 * 32 * 64
    need = 2 * 4 * batch
    monkeypatch.setattr(rehearsal, 'shared_memory', lambda: need)
    rehearsal.rehearse(cfg, ROLES)
    monkeypatch.setattr(rehearsal, 'shared_memory', lambda: need - 1)
    refused(cfg)


def test_a_resumed_run_is_not_rehearsed(cfg):
    cfg.model.decode_head.in_channels, cfg.resume = 16, True
    rehearsal.rehearse(cfg, ROLES)


def test_a_test_is_rehearsed(cfg):
    cfg.test_dataloader, cfg.test_evaluator = (
        cfg.val_dataloader,
        cfg.val_evaluator,
    )
    cfg.train_dataloader.dataset.domains.source.data_root = 'gone'
    rehearsal.rehearse(cfg, ('test',))


def test_a_start_from_other_data_is_told(monkeypatch):
    said = []
    monkeypatch.setattr(rehearsal, 'print_log', lambda x, *_: said.append(x))

    def run(root: str) -> Config:
        domains = dict(source=dict(type='GTADataset', data_root=root))
        dataset = dict(type='UDADataset', domains=domains)
        loader = dict(dataset=dataset)
        return Config(dict(train_dataloader=loader, start_from='a.py'))

    rehearsal.warn_of_other_data([run('sim'), run('sim')])
    assert not said
    rehearsal.warn_of_other_data([run('sim'), run('sim2')])
    assert 'the source sim, this run on sim2' in said[0]
