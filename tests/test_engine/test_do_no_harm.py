# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Planted harm is found, and the network before it is what is kept."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS, TRANSFORMS
from torch import nn

from mmseg_cag.datasets.roles import Roles, labelled_images, write_roles
from mmseg_cag.engine.records import do_no_harm_hook
from mmseg_cag.engine.records.comparison import (
    Verdict,
    compare_mean_iou,
    groups_of,
    mean_iou,
)
from mmseg_cag.engine.records.do_no_harm_hook import (
    BEFORE,
    KEPT,
    LOOKS,
    DoNoHarmHook,
)
from mmseg_cag.engine.records.watched_images import domain_parts
from mmseg_cag.errors import UserError
from mmseg_cag.evaluation.bootstrap import MIN_GROUPS
from mmseg_cag.monitor.record_file import RecordFile
from tests import tiny
from tests.test_monitor.test_harm import recorded_signs

CONFIGS = Path(__file__).parents[2] / 'configs'
ITERS = 12
INITIAL = 'best.pth is the network to keep, the initial one'
HOOK = 'default_hooks.do_no_harm'


@TRANSFORMS.register_module()
class SwapClasses(BaseTransform):
    """Give the source's labels a wrong map of classes."""

    def transform(self, results: dict) -> dict:
        labels = results['gt_seg_map']
        swapped = labels.copy()
        for one, other in ((tiny.ROAD, tiny.BUILDING), (tiny.SKY, tiny.CAR)):
            swapped[labels == one] = other
            swapped[labels == other] = one
        results['gt_seg_map'] = swapped
        return results


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    """The data and a network that has learnt the source."""
    root = tmp_path_factory.mktemp('harm')
    Runner.from_cfg(tiny.warm_up(root)).train()
    tiny.write_cityscapes(root / 'cityscapes', 'choose', MIN_GROUPS, seed=3)
    return root


def config(root: Path, work_dir: Path, **changes) -> Config:
    """CAG from that network, looked at every third of a stage."""
    cfg = tiny.run_config(root, work_dir, ITERS)
    cfg.load_from = str(root / 'warm/iter_60.pth')
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator, cfg.test_cfg = cfg.val_evaluator, dict(type='TestLoop')
    cfg.default_hooks.checkpoint = dict(
        type='AtomicCheckpointHook', by_epoch=False, interval=4
    )
    cfg.default_hooks.monitor = dict(type='MonitorHook', interval=1)
    cfg.default_hooks.do_no_harm = dict(
        type='DoNoHarmHook', images=4, interval=4
    )
    cfg.model.norm_eval = True
    cfg.model.pseudo_label_head.update(margin='auto', precision=0.8)
    cfg.optim_wrapper.optimizer.lr = 1e-3
    cfg.train_cfg.update(stages=1, val_begin=100)
    cfg.merge_from_dict(changes)
    return cfg


def labels(root: Path) -> dict:
    """Labelled target images, as a setting of the hook."""
    return {f'{HOOK}.labelled': dict(tiny.cityscapes(root, 'choose'))}


def run(cfg: Config) -> list[dict]:
    """Train; returns the looks."""
    Runner.from_cfg(cfg).train()
    return looks(cfg.work_dir)


def looks(work_dir: str) -> list[dict]:
    lines = Path(work_dir, LOOKS).read_text().splitlines()
    return [json.loads(line) for line in lines]


def told(work_dir: str | Path) -> str:
    """The last that the hook says in the log."""
    [log] = Path(work_dir).glob('*/*.log')
    lines = log.read_text().splitlines()
    return [line for line in lines if KEPT in line][-1]


def kept(work_dir: str | Path) -> dict:
    return torch.load(Path(work_dir, KEPT), weights_only=False)


def is_source(root: Path, work_dir: Path) -> bool:
    """Whether what is kept is the network that adaptation began from."""
    checkpoint = kept(work_dir)
    start = torch.load(root / 'warm/iter_60.pth', weights_only=False)
    same = all(
        torch.equal(start['state_dict'][key], value)
        for key, value in checkpoint['state_dict'].items()
        if key in start['state_dict']
    )
    assert same is not checkpoint['meta']['do_no_harm']['adapted']
    return same


HARM = {
    'rate': {'optim_wrapper.optimizer.lr': 0.3},
    'map': {},  # only the labels are spoilt
    'margin': {'model.pseudo_label_head.margin': 1e6},
}
FOUND = {
    'rate': 'is predicted on|vanished',
    'map': 'on the source it agrees',
    'margin': 'has a pseudo label',
}


def plant(cfg: Config, kind: str) -> None:
    """Spoil a run in one of the ways of `HARM`."""
    cfg.merge_from_dict(HARM[kind])
    if kind == 'map':
        datasets = (
            cfg.train_dataloader.dataset.domains.source,
            cfg.anchor_dataloader.dataset,
        )
        for dataset in datasets:
            dataset.pipeline.insert(2, dict(type='SwapClasses'))


# Seconds do not suffice to forget the source at the rate of a run. Without a
# wrong map it is not forgotten at this one either.
FASTER = {'optim_wrapper.optimizer.lr': 3e-2}


@pytest.mark.parametrize('kind', HARM)
def test_planted_harm_keeps_the_source_network(root, tmp_path, kind):
    cfg = config(root, tmp_path, **(FASTER if kind == 'map' else {}))
    plant(cfg, kind)
    with pytest.raises(UserError, match='adaptation lost .* best.pth'):
        run(cfg)
    last = looks(cfg.work_dir)[-1]
    assert last['lost'] and re.search(FOUND[kind], last['reason'])
    assert is_source(root, tmp_path)
    [first, *_] = kept(tmp_path)['meta']['descent']
    assert (first['name'], first['used_as']) == ('iter_60.pth', 'kept from')
    assert told(tmp_path).endswith(INITIAL)


def test_the_right_map_does_not_forget_the_source(root, tmp_path):
    cfg = config(root, tmp_path, **FASTER, **{f'{HOOK}.on_harm': 'report'})
    assert not any(FOUND['map'] in look['reason'] for look in run(cfg))


# Without pseudo labels, the source alone may still help the target.
@pytest.mark.parametrize('kind', ['rate', 'map'])
def test_labels_find_it_too(root, tmp_path, kind):
    cfg = config(root, tmp_path, **labels(root))
    if kind == 'map':
        cfg.merge_from_dict(FASTER)
    plant(cfg, kind)
    with pytest.raises(UserError, match='labelled images'):
        run(cfg)
    found = looks(cfg.work_dir)
    assert found[-1]['lost']
    best = max(found, key=lambda look: look['score'])
    with np.load(tmp_path / BEFORE) as before:
        start = mean_iou(before['confusion'])
    if is_source(root, tmp_path):
        assert best['score'] <= start
    else:  # an early look was above it
        assert best['score'] > start and not best['lost']
        assert kept(tmp_path)['meta']['iter'] == best['iter']


def test_labels_of_few_images_find_no_harm(root, tmp_path):
    cfg = config(root, tmp_path, **labels(root))
    cfg.default_hooks.do_no_harm.labelled.indices = MIN_GROUPS - 1
    plant(cfg, 'rate')
    found = run(cfg)
    assert found[-1]['iter'] == ITERS
    assert not any(look['lost'] for look in found)
    [log] = tmp_path.glob('*/*.log')
    assert log.read_text().count('5 groups of images are too few for') == 1
    # Still, the better network is kept, with the reason.
    assert is_source(root, tmp_path)
    reason = found[-1]['reason']
    assert kept(tmp_path)['meta']['do_no_harm']['reason'] == reason
    assert told(tmp_path).endswith(f'{reason}; {INITIAL}')


@pytest.mark.parametrize('by', ['address', 'name'])
def test_plain_weights_are_a_start(root, tmp_path, monkeypatch, by):
    weights = torch.load(root / 'warm/iter_60.pth', weights_only=False)
    torch.save(weights['state_dict'], tmp_path / 'plain.pth')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'downloads'))
    cfg = config(root, tmp_path / 'run')
    plant(cfg, 'rate')
    with tiny.served(tmp_path) as address, pytest.raises(UserError) as caught:
        place = address if by == 'address' else tmp_path
        cfg.load_from = f'{place}/plain.pth'
        run(cfg)
    assert 'adaptation lost' in str(caught.value)
    assert is_source(root, tmp_path / 'run')


def from_nothing(root: Path, work_dir: Path) -> Config:
    """A run from an untrained network, compared by labels."""
    cfg = config(root, work_dir / 'blank')
    cfg.model, cfg.load_from = tiny.segmentor(), None
    blank = Runner.from_cfg(cfg).model.state_dict()
    torch.save({'meta': {}, 'state_dict': blank}, work_dir / 'blank.pth')
    cfg = config(root, work_dir, **labels(root))
    cfg.load_from = str(work_dir / 'blank.pth')
    cfg.optim_wrapper.optimizer.lr = 3e-2
    cfg.default_hooks.do_no_harm.patience = 9
    return cfg


def test_labels_choose_the_best_look(root, tmp_path):
    cfg = from_nothing(root, tmp_path)
    best = max(run(cfg), key=lambda look: look['score'])
    assert kept(tmp_path)['meta']['iter'] == best['iter']
    assert kept(tmp_path)['meta']['do_no_harm'] == {
        'adapted': True,
        'reason': best['reason'],
    }
    number = best['iter']
    assert told(tmp_path).endswith(f'to keep, that of iteration {number}')


def test_it_looks_at_the_statistics_of_the_checkpoint(root, tmp_path):
    cfg = from_nothing(root, tmp_path)
    cfg.default_hooks.norm_statistics = dict(
        type='NormStatisticsHook', interval=4
    )
    run(cfg)
    best = kept(tmp_path)
    path = tmp_path / f'iter_{best["meta"]["iter"]}.pth'
    saved = torch.load(path, weights_only=False)['state_dict']
    for key, value in saved.items():
        assert torch.equal(best['state_dict'][key], value), key
    with np.load(tmp_path / BEFORE) as before:
        start = before['confusion']
    # The network before has its own statistics.
    tiny.drop_hooks(cfg, 'norm_statistics')
    cfg.train_cfg.stage_iters = 4
    run(cfg)
    with np.load(tmp_path / BEFORE) as before:
        assert (before['confusion'] == start).all()


def test_images_to_choose_by_are_the_labels(root, tmp_path):
    val = dict(tiny.cityscapes(root, 'val'))
    built = DATASETS.build(val)
    images = labelled_images(
        built, [0, 1], group=lambda name: f'drive of {name}'
    )
    roles = Roles(built.metainfo['classes'], {'choose': images})
    write_roles(tmp_path / 'roles.json', roles)
    cfg = config(root, tmp_path / 'run')
    cfg.default_hooks.do_no_harm.on_harm = 'report'
    cfg.val_dataloader = dict(
        cfg.val_dataloader,
        dataset=dict(
            type='RoleSubset',
            roles=str(tmp_path / 'roles.json'),
            role='choose',
            dataset=val,
        ),
    )
    assert groups_of(cfg.val_dataloader.dataset) == [i.group for i in images]
    assert all('2 labelled images' in look['reason'] for look in run(cfg))


def test_a_good_run_keeps_the_adapted_network(root, tmp_path):
    cfg = config(root, tmp_path)
    found = run(cfg)
    assert [look['iter'] for look in found] == [4, 8, 12]
    assert not any(look['lost'] for look in found)
    assert not is_source(root, tmp_path)
    assert kept(tmp_path)['meta']['iter'] == ITERS
    assert told(tmp_path).endswith(f'to keep, that of iteration {ITERS}')


def test_without_space_for_it_no_network_is_said_to_be_kept(
    root, tmp_path, monkeypatch
):
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(do_no_harm_hook, 'atomic_write', full)
    cfg = config(root, tmp_path, **{f'{HOOK}.on_harm': 'report'})
    plant(cfg, 'rate')
    assert run(cfg)[-1]['iter'] == ITERS
    assert told(tmp_path).endswith('; best.pth is missing')


def test_harm_ends_the_run_early_or_is_reported_alone(root, tmp_path):
    cfg = config(root, tmp_path / 'stop')
    plant(cfg, 'rate')
    with pytest.raises(UserError):
        run(cfg)
    assert looks(cfg.work_dir)[-1]['iter'] == 8  # the second look
    cfg = config(root, tmp_path / 'on', **{f'{HOOK}.on_harm': 'report'})
    plant(cfg, 'rate')
    assert run(cfg)[-1]['iter'] == ITERS
    [log] = (tmp_path / 'on').glob('*/*.log')
    *_, last = log.read_text().splitlines()
    assert 'adaptation lost' in last


def test_weights_are_the_same_with_and_without(root, tmp_path):
    run(config(root, tmp_path / 'with'))
    cfg = config(root, tmp_path / 'without')
    tiny.drop_hooks(cfg, 'do_no_harm')
    Runner.from_cfg(cfg).train()
    one, other = (
        torch.load(tmp_path / name / 'iter_12.pth', weights_only=False)
        for name in ('with', 'without')
    )
    for key, value in other['state_dict'].items():
        assert torch.equal(one['state_dict'][key], value), key


def test_a_resumed_run_goes_on_with_its_looks(root, tmp_path):
    settings = {**labels(root), f'{HOOK}.on_harm': 'report'}
    cfg = config(root, tmp_path, **settings)
    whole = run(cfg)
    cfg = config(root, tmp_path, **settings)
    cfg.resume, cfg.load_from = True, str(tmp_path / 'iter_8.pth')
    assert run(cfg) == whole
    cfg.default_hooks.do_no_harm.labelled.indices = [1, 0]
    with pytest.raises(UserError, match='began to compare by other'):
        run(cfg)
    (tmp_path / BEFORE).write_bytes(b'no arrays')
    with pytest.raises(UserError, match='cannot be read'):
        run(cfg)


def test_a_resumed_run_looks_at_the_same_images(root, tmp_path):
    run(config(root, tmp_path))
    for changed in (labels(root), {f'{HOOK}.images': 3}):
        cfg = config(root, tmp_path, **changed)
        cfg.resume, cfg.load_from = True, str(tmp_path / 'iter_8.pth')
        with pytest.raises(UserError, match='began to compare by other'):
            run(cfg)


def test_a_few_labels_of_the_target_are_no_source():
    cfg = Config.fromfile(CONFIGS / 'few_labels/cag_minitown.py')
    [source] = domain_parts(cfg, labelled=True)
    assert source.type == 'GTADataset'
    cfg.train_dataloader.dataset.domains.source.members.source = None
    [few] = domain_parts(cfg, labelled=True)
    assert few.role == 'train'


def test_without_a_start_there_is_nothing_to_compare(root, tmp_path):
    Runner.from_cfg(config(root, tmp_path, load_from=None)).train()
    assert not (tmp_path / KEPT).exists()


@pytest.mark.parametrize('hook', ['on', 'off', 'without a start'])
def test_records_of_an_earlier_run_are_moved_aside(root, tmp_path, hook):
    cfg = config(root, tmp_path, **{f'{HOOK}.on_harm': 'report'})
    plant(cfg, 'rate')
    earlier = run(cfg)
    assert earlier[-1]['lost']
    cfg = config(root, tmp_path)
    if hook == 'off':
        tiny.drop_hooks(cfg, 'do_no_harm')
    if hook == 'without a start':
        cfg.load_from = None
    Runner.from_cfg(cfg).train()
    assert looks(tmp_path / 'before_1') == earlier
    assert (tmp_path / 'before_1' / BEFORE).is_file()
    for name in (LOOKS, BEFORE, KEPT):
        assert (tmp_path / name).is_file() is (hook == 'on')
    if hook == 'on':
        assert not any(look['lost'] for look in looks(tmp_path))


def test_without_labels_in_any_domain_it_says_that_it_is_off(root, tmp_path):
    cfg = config(root, tmp_path / 'run')
    runner = Runner.from_cfg(cfg)
    target = cfg.train_dataloader.dataset.domains.target
    runner.cfg.train_dataloader.dataset = dict(
        type='UDADataset', domains=dict(target=target), labelled=[]
    )
    hook = DoNoHarmHook()
    hook.before_train(runner)
    assert hook.comparison is None
    [log] = (tmp_path / 'run').glob('*/*.log')
    assert 'no comparison, it needs labelled target images' in log.read_text()


class Recorded:
    """The comparison of a recorded run, look by look."""

    def __init__(self, name: str) -> None:
        self.looks = iter(recorded_signs(name).values())

    def judge(self, before: dict, model: nn.Module) -> Verdict:
        signs = next(self.looks)
        return Verdict(bool(signs), '; '.join(signs))


def test_drawn_to_real_is_stopped_within_its_first_stage(tmp_path):
    """Version 0.1's CAG, a stage of 60: test_monitor/test_harm.py."""
    hook = DoNoHarmHook(interval=10)
    hook.comparison, hook.before = Recorded('drawn to real'), {}
    hook.file = RecordFile(tmp_path / LOOKS)
    runner = SimpleNamespace(
        work_dir=tmp_path,
        iter=0,
        model=nn.Identity(),
        train_loop=SimpleNamespace(stop_training=False),
        logger=logging.getLogger('recorded'),
    )
    source = {'meta': {'do_no_harm': {'adapted': False}}, 'state_dict': {}}
    torch.save(source, tmp_path / KEPT)
    while not runner.train_loop.stop_training and runner.iter < 60:
        hook.after_train_iter(runner, runner.iter)
        runner.iter += 1
    assert runner.iter == 30
    hook.after_train(runner)
    with pytest.raises(UserError, match='person is predicted on 7.6%'):
        hook.after_run(runner)
    assert not kept(tmp_path)['meta']['do_no_harm']['adapted']
    assert [look['lost'] for look in looks(tmp_path)] == [False, True, True]


@pytest.mark.parametrize(
    ('key', 'value', 'told'),
    [
        ('on_harm', 'panic', 'expected stop or report'),
        ('images', 0, 'images=0'),
        ('patience', 0, 'patience=0'),
    ],
)
def test_wrong_settings(root, tmp_path, key, value, told):
    with pytest.raises(UserError, match=told):
        Runner.from_cfg(config(root, tmp_path, **{f'{HOOK}.{key}': value}))


def test_labels_of_other_classes_or_of_one_image(root, tmp_path):
    cfg = config(root, tmp_path, **labels(root))
    cfg.default_hooks.do_no_harm.labelled.indices = 1
    with pytest.raises(UserError, match='1 group of images.*at least 2'):
        run(cfg)
    cfg = config(root, tmp_path, **labels(root))
    cfg.default_hooks.do_no_harm.labelled.metainfo = dict(classes=['road'])
    with pytest.raises(UserError, match="has the classes .'road'"):
        run(cfg)


def test_labels_that_are_void_everywhere(root, tmp_path):
    tiny.write_cityscapes(root / 'cityscapes', 'void', MIN_GROUPS)
    for path in (root / 'cityscapes/gtFine/void').rglob('*.png'):
        tiny.save_image(path, np.zeros(tiny.SIZE, np.uint8))
    labelled = dict(tiny.cityscapes(root, 'void'))
    cfg = config(root, tmp_path, **{f'{HOOK}.labelled': labelled})
    with pytest.raises(UserError, match='labelled: no pixel has a class'):
        run(cfg)
    assert not (tmp_path / LOOKS).exists()


@pytest.mark.parametrize('role', [{}, {'role': None}, {'without': ['train']}])
def test_labels_without_a_role(root, tmp_path, role):
    path, part = tmp_path / 'roles.json', dict(tiny.cityscapes(root, 'choose'))
    dataset = DATASETS.build(part)
    images = labelled_images(dataset, [0, 1], lambda name: 'drive')
    classes = tuple(dataset.metainfo['classes'])
    write_roles(path, Roles(classes, {'train': images}))
    subset = dict(type='RoleSubset', roles=str(path), dataset=part, **role)
    cfg = config(root, tmp_path, **{f'{HOOK}.labelled': subset})
    cfg.default_hooks.do_no_harm.on_harm = 'report'
    assert all('on 4 labelled images' in look['reason'] for look in run(cfg))


def test_labels_of_one_drive_are_no_evidence(root, tmp_path):
    dataset = DATASETS.build(tiny.cityscapes(root, 'val'))
    path = tmp_path / 'roles.json'
    images = labelled_images(dataset, [0, 1], lambda name: 'drive')
    classes = tuple(dataset.metainfo['classes'])
    write_roles(path, Roles(classes, {'choose': images}))
    part = dict(tiny.cityscapes(root, 'val'))
    subset = dict(
        type='RoleSubset', role='choose', roles=str(path), dataset=part
    )
    cfg = config(root, tmp_path, **{f'{HOOK}.labelled': subset})
    with pytest.raises(UserError, match='1 group of images.*at least 2'):
        run(cfg)


def test_a_network_that_has_learnt_nothing_is_not_gone_back_to(root, tmp_path):
    cfg = config(root, tmp_path)
    cfg.default_hooks.do_no_harm.limits = dict(sure=0.999)
    Runner.from_cfg(cfg).train()
    assert not (tmp_path / KEPT).exists()
    [log] = tmp_path.glob('*/*.log')
    assert 'no comparison, the initial network has not learnt' in (
        log.read_text()
    )


def confusions(right: float, seed: int) -> np.ndarray:
    """Confusion matrices of 12 images of two classes, right so often."""
    rng = np.random.default_rng(seed)
    hits = rng.binomial(1000, np.clip(rng.normal(right, 0.1, 12), 0, 1))
    rows = np.stack([hits, 1000 - hits], 1)
    return np.stack([rows, rows[:, ::-1]], 1)


def test_networks_are_compared_image_by_image():
    one, better = confusions(0.6, 0), confusions(0.8, 1)
    assert compare_mean_iou(one, one) == (0, 0, 0)
    gain, low, high = compare_mean_iou(one, better)
    assert 0 < low < gain < high
    back = compare_mean_iou(better, one)
    assert back == pytest.approx((-gain, -high, -low), abs=1)
    twice = [np.repeat(c, 2, 0) for c in (one, better)]
    names = np.repeat(np.arange(12), 2)
    assert compare_mean_iou(*twice, names) == pytest.approx((gain, low, high))
