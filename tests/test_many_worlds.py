# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Runs on three labelled domains, one of a role: resumed, by two processes."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import DATASETS, HOOKS

from mmseg_cag.datasets.roles import Roles, labelled_images, write_roles
from mmseg_cag.models.domain_norms import OF_DOMAIN
from tests import tiny
from tests.test_distributed import train_two

ITERS = 4
SHARES = dict(gta=0.5, synthia=0.25, few=0.25)


@HOOKS.register_module()
class NoteDomainsHook(Hook):
    """Note the domains of the source's images, batch by batch."""

    seen: list[list[str]] = []

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict
    ) -> None:
        samples = data_batch['data_samples']['source']
        self.seen.append([sample.domain for sample in samples])


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('many')
    tiny.write_towns(root)
    tiny.write_synthia(root / 'synthia', count=3)
    dataset = DATASETS.build(tiny.cityscapes(root, 'train'))
    images = labelled_images(dataset, range(len(dataset)))
    few = dict(train=images[:2], choose=images[2:3])
    write_roles(root / 'roles.json', Roles(dataset.metainfo['classes'], few))
    return root


def subset(root: Path, dataset: dict, **role: str) -> dict:
    """The images of a role, or those without one."""
    path = str(root / 'roles.json')
    return dict(type='RoleSubset', roles=path, dataset=dataset, **role)


def config(root: Path, work_dir: Path, workers: int = 0) -> Config:
    """DACS with three sources, one of a role, and two measured targets."""
    cfg = tiny.run_config(root, work_dir, workers=workers)
    tiny.one_stage(cfg, ITERS)
    cfg.model = tiny.dacs()
    cfg.model.domain_norms = dict(domains=['day', 'night', *SHARES])
    cfg.train_dataloader.batch_size = 4
    domains = cfg.train_dataloader.dataset.domains
    members = dict(
        gta=domains.source,
        synthia={**tiny.synthia(root), 'pipeline': tiny.pipeline('synthia')},
        few=subset(root, tiny.cityscapes(root, 'train'), role='train'),
    )
    domains.source = dict(
        type='DomainPool',
        members=members,
        shares=SHARES,
        absent=dict(synthia=['train']),
    )
    rest = subset(root, domains.target)
    targets = dict(day=rest, night=rest)
    domains.target = dict(type='DomainPool', members=targets)
    measured = cfg.val_dataloader.dataset
    cfg.val_dataloader.dataset = dict(
        type='DomainPool', members=dict(day=measured, night=measured)
    )
    cfg.val_evaluator = dict(type='UDAIoUMetric')
    return cfg


@pytest.fixture
def trained(root, tmp_path) -> Path:
    Runner.from_cfg(config(root, tmp_path / 'whole')).train()
    return tmp_path / 'whole'


def weights(folder: Path, iteration: int = ITERS) -> dict:
    path = folder / f'iter_{iteration}.pth'
    return torch.load(path, weights_only=False)['state_dict']


def one_set(state: dict) -> dict:
    """Give all domains the statistics of the first."""
    return {k: state[OF_DOMAIN.sub('', k)] for k in state}


def equal(one: dict, other: dict) -> bool:
    same = (torch.equal(one[key], other[key]) for key in one)
    return one.keys() == other.keys() and all(same)


def test_a_resumed_run_is_bit_equal(root, trained, tmp_path):
    half = tmp_path / 'half'
    half.mkdir()
    shutil.copy(trained / 'iter_2.pth', half)
    cfg = config(root, half, workers=1)
    cfg.custom_hooks.append(dict(type='NoteDomainsHook'))
    cfg.load_from, cfg.resume = str(half / 'iter_2.pth'), True
    NoteDomainsHook.seen.clear()
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert equal(weights(trained), weights(half))
    assert not equal(weights(trained, 3), weights(half))
    assert len(NoteDomainsHook.seen) == ITERS - 2
    for batch in NoteDomainsHook.seen:
        assert Counter(batch) == dict(gta=2, synthia=1, few=1)
    found = runner.val_loop.run()
    # The same images under two names, by statistics of each.
    assert found['mIoU.day'] != found['mIoU.night']
    model = runner.model
    model.load_state_dict(one_set(model.state_dict()))
    found = runner.val_loop.run()
    assert found['mIoU.day'] == found['mIoU.night'] == found['mIoU']


@pytest.mark.long
def test_two_processes_hold_the_same(root, tmp_path):
    cfg = config(root, tmp_path / 'two')
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    train_two(tmp_path, cfg)
    first, second = (
        torch.load(tmp_path / 'two' / f'rank{rank}_{ITERS}.pth')
        for rank in (0, 1)
    )
    learned = [k for k in first['state_dict'] if 'running_' not in k]
    for key in learned:
        one, other = (part['state_dict'][key] for part in (first, second))
        assert torch.equal(one, other), key
    assert first['losses'] != second['losses']


def test_a_pool_of_one_is_that_one(root, tmp_path):
    """Also the order of its images: nothing but the name is new."""
    for name in ('plain', 'pool'):
        cfg = config(root, tmp_path / name)
        plain = tiny.run_config(root, tmp_path / name)
        cfg.train_dataloader.dataset = plain.train_dataloader.dataset
        cfg.model.pop('domain_norms')
        domains = cfg.train_dataloader.dataset.domains
        if name == 'pool':
            domains.source = dict(
                type='DomainPool',
                members=dict(gta=domains.source),
                shares=dict(gta=1.0),
            )
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        Runner.from_cfg(cfg).train()
    assert equal(weights(tmp_path / 'plain'), weights(tmp_path / 'pool'))
