# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The monitor in a run of two stages of three iterations."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmseg_cag.monitor.observer_hook import WatchHook
from mmseg_cag.monitor.target_record import count_target
from tests import tiny

STAGE, ITERS = 3, 6
SHARES = {'active', 'agreement', 'kappa', 'followed'}
BY_CLASS = {'predicted', 'coverage', 'pseudo'}


class Keep(WatchHook):
    """Keep the maps of each step."""

    def __init__(self) -> None:
        super().__init__(1)
        self.kept = {}

    def look(self, runner: Runner, maps: dict, data_batch: dict) -> None:
        self.kept[runner.iter + 1] = dict(maps)


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    """The data and a network to start from."""
    root = tmp_path_factory.mktemp('monitor')
    tiny.write_towns(root)
    torch.manual_seed(8)
    stock = MODELS.build(tiny.segmentor())
    torch.save({'state_dict': stock.state_dict()}, root / 'warm.pth')
    return root


def config(root: Path, work_dir: Path, interval: int | None = 2) -> Config:
    cfg = tiny.run_config(root, work_dir, STAGE)
    cfg.load_from = str(root / 'warm.pth')
    cfg.model.update(norm_eval=True)
    cfg.model.decode_head.dropout_ratio = 0
    cfg.model.pseudo_label_head.margin = 0.05
    cfg.visualizer = dict(
        type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
    )
    if interval is not None:
        cfg.default_hooks.update(
            monitor=dict(type='MonitorHook', interval=interval),
            panels=dict(type='PanelHook', interval=4, images=2),
            anchor_record=dict(type='AnchorRecordHook'),
        )
    return cfg


def train(cfg: Config, keep: Keep | None = None) -> Path:
    runner = Runner.from_cfg(cfg)
    if keep:
        runner.register_hook(keep)
    runner.train()
    assert not getattr(runner.model, 'observers', None)
    return Path(cfg.work_dir)


@pytest.fixture(scope='module')
def keep() -> Keep:
    return Keep()


@pytest.fixture(scope='module')
def straight(root, keep) -> Path:
    return train(config(root, root / 'straight'), keep)


def read(folder: Path, name: str) -> list[dict]:
    return [json.loads(x) for x in (folder / name).read_text().splitlines()]


def same(first: object, second: object) -> bool:
    """Compare nested states bit by bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            same(first[key], second[key]) for key in first
        )
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    return first == second


def test_training_is_the_same_bit_by_bit(root, straight):
    plain = train(config(root, root / 'plain', interval=None))
    assert not (plain / 'monitor.jsonl').exists()
    states = [
        torch.load(folder / f'iter_{ITERS}.pth', weights_only=False)
        for folder in (straight, plain)
    ]
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert same(states[0][part], states[1][part])


def test_target_truth_is_out_of_reach(root, straight, tmp_path):
    for town in ('gta', 'cityscapes'):
        shutil.copytree(root / town, tmp_path / town)
    shutil.rmtree(tmp_path / 'cityscapes/gtFine')
    cfg = config(tmp_path, tmp_path / 'run')
    cfg.load_from = str(root / 'warm.pth')
    for part in ('dataloader', 'evaluator', 'cfg'):
        cfg[f'val_{part}'] = None
    train(cfg)
    for name in ('monitor.jsonl', 'anchors.jsonl'):
        assert read(tmp_path / 'run', name) == read(straight, name)


def test_looks_are_every_so_often_and_as_stages_begin(straight):
    records = read(straight, 'monitor.jsonl')
    assert [r['iter'] for r in records] == [1, 2, 4, 6]
    assert [r['stage'] for r in records] == [1, 1, 2, 2]
    for record in records:
        assert record.keys() >= SHARES | BY_CLASS | {'margin'}
        assert all(0 <= record[key] <= 1 for key in SHARES - {'kappa'})
        assert record['margin'] == pytest.approx(0.05)


def test_a_record_is_of_its_step(straight, keep):
    for record in read(straight, 'monitor.jsonl'):
        maps = keep.kept[record['iter']]
        counts = count_target(maps, 19, None)
        pixels = maps['anchor'].numel()
        active = counts['active'].sum() / pixels
        assert record['active'] == pytest.approx(active.item(), abs=1e-6)
        predicted = (counts['predicted'] / pixels).tolist()
        found = list(record['predicted'].values())
        assert found == pytest.approx(predicted, abs=1e-6)
        histogram = record['margin_histogram']
        assert len(histogram['edges']) == 21
        assert sum(map(sum, histogram['counts'].values())) == pixels


def test_the_first_step_of_a_stage_is_by_its_own_labeler(straight):
    """It is the student but for dropout and batch norm, which are off."""
    agreement = {
        r['iter']: r['agreement'] for r in read(straight, 'monitor.jsonl')
    }
    assert agreement[1] == agreement[4] == 1
    assert agreement[2] < 1 and agreement[6] < 1


def test_numbers_go_to_the_visualizer_and_the_log(straight):
    [path] = straight.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    [last] = [x for x in lines if 'monitor/active' in x and x['step'] == 6]
    record = read(straight, 'monitor.jsonl')[-1]
    assert last['monitor/active'] == record['active']
    assert last['coverage/road'] == record['coverage']['road']
    assert [x for x in lines if 'loss' in x][-1]['monitor.agreement'] == (
        record['agreement']
    )


def test_panels_show_input_prediction_and_pseudo_labels(straight, keep):
    paths = sorted(straight.glob('*/vis_data/vis_image/*.png'))
    assert [p.name for p in paths] == ['target_1.png', 'target_4.png']
    panel = cv2.imread(str(paths[1]))[..., ::-1]
    height, width = tiny.SIZE
    assert panel.shape == (2 * height, 3 * width, 3)
    image = keep.kept[4]['images'][1].movedim(0, -1)
    image = image * torch.tensor(tiny.STD) + torch.tensor(tiny.MEAN)
    shown = torch.tensor(panel[height:, :width].copy())
    assert (shown - image).abs().max() <= 1
    inactive = keep.kept[4]['anchor'][1] == 255
    black = ~panel[height::4, 2 * width :: 4].any(-1)
    assert inactive.any() and (torch.tensor(black) == inactive).all()


def test_anchors_of_each_stage(straight):
    first, second = read(straight, 'anchors.jsonl')
    assert (first['iter'], second['iter']) == (0, STAGE)
    assert (first['stage'], second['stage']) == (1, 2)
    assert first['drift'] == {} and first['margin'] == pytest.approx(0.05)
    assert set(second['drift']) == {'road', 'building', 'sky', 'car'}
    states = [
        torch.load(straight / f'iter_{i}.pth', weights_only=False)
        for i in (STAGE, ITERS)
    ]
    old, new = (s['state_dict']['anchor_bank.anchors'] for s in states)
    moved = (new - old)[tiny.CAR].norm().item()
    assert second['drift']['car'] == pytest.approx(moved, abs=1e-5)
    apart = (new[tiny.CAR] - new[tiny.SKY]).norm().item()
    distances = second['distances']
    assert distances[tiny.CAR][tiny.SKY] == pytest.approx(apart, abs=1e-5)
    assert distances[tiny.CAR][1] is None  # no source pixel is sidewalk


@pytest.mark.parametrize('at', [2, STAGE, 5])
def test_a_resumed_run_drops_later_lines(root, straight, tmp_path, at):
    shutil.copytree(straight, tmp_path / 'run')
    cfg = config(root, tmp_path / 'run')
    cfg.load_from = str(tmp_path / 'run' / f'iter_{at}.pth')
    cfg.resume = True
    alarms = [{'iter': i, 'alarm': 'x'} for i in (at, at + 1)]
    text = '\n'.join(map(json.dumps, alarms))
    (tmp_path / 'run/alarms.jsonl').write_text(f'{text}\n')
    train(cfg)
    for name in ('monitor.jsonl', 'anchors.jsonl'):
        assert read(tmp_path / 'run', name) == read(straight, name)
    # Of later ones only those that the run raises again.
    found = read(tmp_path / 'run', 'alarms.jsonl')
    assert found[0] == alarms[0]
    assert {a['alarm'] for a in found[1:]} <= {'no_anchor'}


def test_a_new_run_forgets_another(root, tmp_path):
    for name in ('monitor.jsonl', 'anchors.jsonl', 'alarms.jsonl'):
        (tmp_path / name).write_text('{"iter": 0}\n{"iter": 77}\n')
    cfg = config(root, tmp_path, interval=0)
    cfg.train_cfg.stages = 1
    train(cfg)
    assert [r['iter'] for r in read(tmp_path, 'anchors.jsonl')] == [0]
    assert read(tmp_path, 'monitor.jsonl') == [{'iter': 0}]


def test_by_probability_there_is_no_margin(root, tmp_path):
    cfg = config(root, tmp_path)
    cfg.model.pseudo_label_head.by = ['probability']
    cfg.model.anchor_loss = None
    cfg.default_hooks.pop('anchors')
    cfg.train_cfg.stages = 1
    train(cfg)
    for record in read(tmp_path, 'monitor.jsonl'):
        assert record.keys() >= SHARES | BY_CLASS
        assert not record.keys() & {'margin', 'margin_histogram'}
    assert not (tmp_path / 'anchors.jsonl').exists()


@pytest.mark.parametrize('model', [tiny.adversarial, tiny.clan])
def test_of_an_adversarial_run_it_knows_what_is_predicted(
    root, tmp_path, model
):
    cfg = tiny.adversarial_run(root, tmp_path, model())
    cfg.default_hooks = config(root, tmp_path).default_hooks
    tiny.drop_hooks(cfg, 'anchors')
    keep = Keep()
    train(cfg, keep)
    records = read(tmp_path, 'monitor.jsonl')
    assert [r['iter'] for r in records] == [1, 2, 4, 6]
    assert all(r.keys() == {'iter', 'predicted', 'source'} for r in records)
    shares = records[-1]['predicted']
    student = keep.kept[6]['student'].argmax(1)
    road = (student == tiny.ROAD).float().mean().item()
    assert shares['road'] == pytest.approx(road, abs=1e-6)
    assert not (tmp_path / 'anchors.jsonl').exists()


@pytest.mark.parametrize('model', [tiny.dacs, tiny.daformer])
def test_of_a_mean_teacher_it_knows_what_is_confident(root, tmp_path, model):
    cfg = tiny.adversarial_run(root, tmp_path, model())
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
    )
    cfg.model.threshold = 0.1
    cfg.default_hooks = config(root, tmp_path).default_hooks
    tiny.drop_hooks(cfg, 'anchors')
    keep = Keep()
    train(cfg, keep)
    records = read(tmp_path, 'monitor.jsonl')
    assert [r['iter'] for r in records] == [1, 2, 4, 6]
    maps = keep.kept[6]
    confident = maps['teacher'].softmax(1).amax(1) >= 0.1
    share = confident.float().mean().item()
    assert records[-1]['active'] == pytest.approx(share)
    assert records[-1].keys() >= {'predicted', 'pseudo', 'kappa'}
    assert 'stage' not in records[-1]


def test_a_run_on_the_source_alone_has_nothing_to_watch(root, tmp_path):
    cfg = config(root, tmp_path)
    cfg.model = tiny.segmentor()
    tiny.one_stage(cfg, 3)
    tiny.drop_hooks(cfg, 'channels_last', 'check_data', 'step_seed')
    cfg.train_dataloader.dataset = tiny.gta(root, augment=True)
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    train(cfg)
    assert not (tmp_path / 'monitor.jsonl').exists()
