# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Alarms in runs that are made to fail, and in one that is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import TRANSFORMS

from tests import tiny

ITERS = 16


@TRANSFORMS.register_module()
class DropCar(BaseTransform):
    """Ignore a class in the source's labels."""

    def transform(self, results: dict) -> dict:
        labels = results['gt_seg_map']
        labels[labels == tiny.CAR] = tiny.VOID
        return results


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    """The data and a network that has learnt the source."""
    root = tmp_path_factory.mktemp('planted')
    Runner.from_cfg(tiny.warm_up(root)).train()
    return root


def alarms(root: Path, work_dir: Path, **changes) -> list[dict]:
    """Run one stage of CAG; returns the alarms."""
    cfg = tiny.run_config(root, work_dir, ITERS)
    cfg.model.pseudo_label_head.update(margin='auto', precision=0.8)
    cfg.optim_wrapper.optimizer.lr = 1e-3
    cfg.train_cfg.stages = 1
    cfg.merge_from_dict(changes)
    return watch(cfg, root)


def alarms_of_a_mean_teacher(root: Path, work_dir: Path, lr: float) -> list:
    """Run DACS, which has no stages; returns the alarms."""
    model = dict(tiny.dacs(), threshold=0.9)
    cfg = tiny.adversarial_run(root, work_dir, model)
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=lr)
    )
    cfg.train_cfg.update(max_iters=ITERS, val_interval=ITERS)
    return watch(cfg, root)


def watch(cfg: Config, root: Path) -> list[dict]:
    """Train with the monitor; returns the alarms, each once in the log."""
    cfg.load_from = str(root / 'warm/iter_60.pth')
    cfg.default_hooks.checkpoint = None
    cfg.default_hooks.monitor = dict(type='MonitorHook', interval=1)
    cfg.model.norm_eval = True
    cfg.train_cfg.val_begin = 100
    Runner.from_cfg(cfg).train()
    work_dir = Path(cfg.work_dir)
    [log] = work_dir.glob('*/*.log')
    path = work_dir / 'alarms.jsonl'
    lines = path.read_text().splitlines() if path.is_file() else []
    found = [json.loads(line) for line in lines]
    for alarm in found:
        assert log.read_text().count(alarm['message']) == 1
    return found


def named(alarm: dict) -> set[str]:
    """List the classes that an alarm of lacking anchors tells of."""
    assert (alarm['alarm'], alarm['iter']) == ('no_anchor', 1)
    classes, _ = (
        alarm['message'].removeprefix('No source pixel of ').split(':', 1)
    )
    return set(classes.split(', '))


def test_a_good_run_raises_none_but_of_what_its_source_lacks(root, tmp_path):
    [alarm] = alarms(root, tmp_path)
    assert len(named(alarm)) == 19 - len(tiny.USED)
    assert 'car' not in named(alarm)


def test_a_margin_that_lets_nothing_through(root, tmp_path):
    changes = {'model.pseudo_label_head.margin': 1e6}
    _, alarm = alarms(root, tmp_path, **changes)
    assert (alarm['alarm'], alarm['class']) == ('coverage', None)
    assert alarm['iter'] == 5 and alarm['stage'] == 1


def test_a_learning_rate_a_hundred_times_too_high(root, tmp_path):
    changes = {'optim_wrapper.optimizer.lr': 0.1}
    kinds = {a['alarm'] for a in alarms(root, tmp_path, **changes)}
    assert 'disagreement' in kinds


def test_a_class_that_the_source_labels_lack(root, tmp_path, monkeypatch):
    original = tiny.pipeline

    def without_cars(ids: str | None, augment: bool = False) -> list[dict]:
        steps = original(ids, augment)
        if ids == 'gta':
            steps.insert(2, dict(type='DropCar'))
        return steps

    monkeypatch.setattr(tiny, 'pipeline', without_cars)
    lacking, *found = alarms(root, tmp_path)
    assert 'car' in named(lacking)
    assert {a['class'] for a in found} == {'car'}
    assert found[0]['alarm'] == 'coverage'


def test_a_good_mean_teacher_raises_none(root, tmp_path):
    assert alarms_of_a_mean_teacher(root, tmp_path, lr=1e-3) == []


def test_a_learning_rate_at_which_a_teacher_is_sure_of_nothing(root, tmp_path):
    found = alarms_of_a_mean_teacher(root, tmp_path, lr=1.0)
    assert {alarm['stage'] for alarm in found} == {None}
    by_kind = {alarm['alarm']: alarm for alarm in found}
    assert 'disagreement' in by_kind
    coverage = by_kind['coverage']
    assert coverage['class'] is None and coverage['iter'] > 5
    assert 'lower the learning rate' in coverage['message']
