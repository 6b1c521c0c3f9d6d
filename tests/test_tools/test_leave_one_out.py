# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""tools/leave_one_out.py on tiny towns, in this process."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_cag.errors import UserError
from mmseg_cag.launch.chain import load_chain
from tests import tiny

TOOL = Path(__file__).parents[2] / 'tools/leave_one_out.py'


def resized(dataset: dict) -> dict:
    """The label, too, as anchors are computed at a size of their own."""
    steps = dataset['pipeline']
    steps.insert(2, dict(type='Resize', scale=(96, 48), keep_ratio=False))
    return dataset


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the tool on a config with these sources."""
    tiny.write_towns(tmp_path)
    tiny.write_synthia(tmp_path / 'synthia')
    cfg = tiny.run_config(tmp_path, tmp_path / 'run')
    tiny.one_stage(cfg, 2)
    cfg.model = dict(tiny.segmentor(), type='SupervisedSegmentor')
    cfg.default_hooks.checkpoint.interval = 2
    cfg.val_evaluator = dict(type='UDAIoUMetric')
    cfg.merge_from_dict(
        dict(
            test_dataloader=cfg.val_dataloader,
            test_evaluator=cfg.val_evaluator,
            test_cfg=dict(type='TestLoop'),
        )
    )
    members = dict(gta=tiny.gta(tmp_path), third=tiny.synthia(tmp_path))
    plain = dict(members, gta=resized(tiny.gta(tmp_path)))
    cfg.anchor_dataloader.dataset = dict(type='DomainPool', members=plain)

    def tool(names: list[str], *options: str) -> Path:
        cfg.train_dataloader.dataset.domains = dict(
            source=dict(
                type='DomainPool',
                members={name: members[name] for name in names},
                shares={name: 1 / len(names) for name in names},
            )
        )
        cfg.dump(tmp_path / 'config.py')
        # Spares the runner the formatting of its config, most of its time.
        monkeypatch.setattr(Config, 'pretty_text', property(repr))
        arguments = [TOOL, tmp_path / 'config.py', '--work-dir']
        arguments += [tmp_path / 'out', '--unseen-images', '2', *options]
        monkeypatch.setattr('sys.argv', list(map(str, arguments)))
        runpy.run_path(str(TOOL), run_name='__main__')
        return tmp_path / 'out'

    return tool


def test_a_run_with_all_and_one_without_each(run, tmp_path, capsys):
    folder = run(['gta', 'third'], '--leave-out', 'none', 'gta')
    found = json.loads((folder / 'leave_one_out.json').read_text())
    assert list(found) == ['none', 'gta']
    assert ['unseen' in own for own in found.values()] == [False, True]
    biases = [
        torch.load(folder / name / 'iter_2.pth', weights_only=False)[
            'state_dict'
        ]['decode_head.conv_seg.bias']
        for name in found
    ]
    assert not torch.equal(*biases)
    *_, header, plain, other = capsys.readouterr().out.strip().splitlines()
    assert header == 'left out | mIoU | unseen'
    # mmseg's own metric knows no domains.
    cfg = Config.fromfile(tmp_path / 'config.py')
    cfg.work_dir = str(folder / 'gta')
    cfg.test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
    tool = runpy.run_path(str(TOOL))
    pool = tool['unseen_pool'](cfg, 'gta', 2)
    found = tool['measure'](cfg, pool)
    assert found['unseen'] > 0 and list(found) == ['mIoU', 'unseen']
    assert plain.startswith('none | ') and other.startswith('gta | ')


def test_a_name_that_is_no_source_is_told_before_training(run, tmp_path):
    with pytest.raises(SystemExit, match='--leave-out=.synthia'):
        run(['gta', 'third'], '--leave-out', 'gta', 'synthia')
    assert not (tmp_path / 'out').exists()


def test_images_to_evaluate_are_asked_for_first(run, tmp_path):
    with pytest.raises(SystemExit, match='test_dataloader is not set'):
        run(['gta', 'third'], '--cfg-options', 'test_dataloader=None')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'source', [dict(type='GTADataset'), dict(members=dict(gta=dict(a=1)))]
)
def test_one_source_is_refused(source):
    members_of = runpy.run_path(str(TOOL))['members_of']
    cfg = Config(
        dict(train_dataloader=dict(dataset=dict(domains=dict(source=source))))
    )
    with pytest.raises(UserError, match='a DomainPool of two members'):
        members_of(cfg)


def test_all_that_it_starts_from_is_trained_without_it(tmp_path):
    without = runpy.run_path(str(TOOL))['without']
    members = {
        name: dict(type='GTADataset', data_root=name)
        for name in ('gta', 'third')
    }
    domains = dict(source=dict(type='DomainPool', members=members))
    dataset = dict(type='UDADataset', domains=domains)
    first, second, last = (
        dict(
            launcher='none',
            model=dict(),
            optim_wrapper=dict(),
            train_cfg=dict(type='UDATrainLoop', max_iters=2),
            train_dataloader=dict(dataset=dataset),
            randomness=dict(seed=0),
            start_options={},
        )
        for _ in range(3)
    )
    first['anchor_dataloader'] = dict(dataset=domains['source'])
    second['start_from'] = str(tmp_path / 'first.py')
    last['start_from'] = str(tmp_path / 'second.py')
    last['start_options'] = dict(randomness=dict(seed=1))
    for name, one in (('first', first), ('second', second)):
        Config(one).dump(tmp_path / f'{name}.py')
    cfg = Config(last)
    chain = load_chain(without(cfg, 'gta', Path('out/gta')))
    for run in chain:
        source = run.train_dataloader.dataset.domains.source
        assert source.members.gta is None and source.members.third
    assert chain[0].anchor_dataloader.dataset.members.gta is None
    assert 'anchor_dataloader' not in chain[1]
    assert [run.work_dir for run in chain] == [
        f'out/gta{start}' for start in ('_start_start', '_start', '')
    ]
    assert [run.randomness.seed for run in chain] == [0, 1, 0]
    assert cfg.train_dataloader.dataset.domains.source.members.gta
    chain = load_chain(without(cfg, 'none', Path('out/none')))
    assert chain[0].train_dataloader.dataset.domains.source.members.gta
    assert chain[0].work_dir == 'out/none_start_start'


@pytest.mark.parametrize(
    'dataset',
    [
        dict(type='GTADataset', data_root='gta'),
        dict(
            type='UDADataset',
            domains=dict(
                source=dict(
                    type='DomainPool',
                    members=dict(
                        game=dict(type='GTADataset', data_root='gta')
                    ),
                )
            ),
        ),
    ],
)
def test_a_start_without_the_pool(dataset, tmp_path):
    without = runpy.run_path(str(TOOL))['without']
    members = {
        name: dict(type='GTADataset', data_root=name)
        for name in ('gta', 'third')
    }
    pool = dict(type='DomainPool', members=members)
    both = dict(type='UDADataset', domains=dict(source=pool))
    train_cfg = dict(type='UDATrainLoop', max_iters=2)
    anchors = dict(dataset=members['third'])  # for figures alone
    start = dict(
        model=dict(),
        optim_wrapper=dict(),
        train_cfg=train_cfg,
        train_dataloader=dict(dataset=dataset),
        anchor_dataloader=anchors,
    )
    path = tmp_path / 'start.py'
    Config(start).dump(path)
    cfg = Config(
        dict(
            launcher='none',
            start_from=str(path),
            train_cfg=train_cfg,
            train_dataloader=dict(dataset=both),
        )
    )
    first, last = load_chain(without(cfg, 'third', Path('out')))
    assert first.train_dataloader.dataset == dataset
    assert last.train_dataloader.dataset.domains.source.members.third is None
    text = 'start.py: train_dataloader reads the images of gta, expected'
    with pytest.raises(UserError, match=text):
        without(cfg, 'gta', Path('out'))
    # Anchors that a run computes are as much of its training.
    start['default_hooks'] = dict(anchors=dict(type='AnchorHook'))
    Config(start).dump(path)
    with pytest.raises(UserError, match='anchor_dataloader reads the images'):
        without(cfg, 'third', Path('out'))


def test_an_unseen_source_is_compared_in_what_it_labels(tmp_path):
    tiny.write_synthia(tmp_path / 'synthia')
    third = resized(tiny.synthia(tmp_path))
    anchors = dict(members=dict(third=third), absent=dict(third=['train']))
    source = dict(absent=dict(third=['truck']))
    cfg = Config(
        dict(
            train_dataloader=dict(dataset=dict(domains=dict(source=source))),
            anchor_dataloader=dict(dataset=anchors),
        )
    )
    unseen_pool = runpy.run_path(str(TOOL))['unseen_pool']
    dataset = DATASETS.build(unseen_pool(cfg, 'third', 1))
    assert len(dataset) == 1 and dataset.datasets[0].test_mode
    sample = dataset[0]
    assert sample['inputs'].shape == (3, 48, 96)
    assert sample['data_samples'].gt_sem_seg.shape == tiny.SIZE
    assert sample['data_samples'].domain == 'unseen'
    classes = dataset.metainfo['classes']
    absent = [classes[i] for i in sample['data_samples'].absent]
    assert absent == ['truck', 'train']
    assert unseen_pool(cfg, 'third', 0) is None
    assert unseen_pool(cfg, 'gta', 1) is None
