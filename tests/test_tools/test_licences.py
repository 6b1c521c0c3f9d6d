# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The chain of what a network descends from, and what binds who ships it."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import onnx
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from mmseg_cag.datasets.licences import data_terms, weights_terms
from mmseg_cag.engine.records.descent import (
    DESCENT,
    data_in,
    descent_of,
    entry,
    read_descent,
    unique,
)
from mmseg_cag.fileio.checkpoints import checkpoint_hash
from mmseg_cag.inference.export_onnx import note
from mmseg_cag.inference.export_student import student_checkpoint
from tests import tiny

TOOL = Path(__file__).parents[2] / 'tools/licences.py'


@pytest.fixture
def command(monkeypatch, capsys):
    def run(path: Path) -> str:
        monkeypatch.setattr('sys.argv', [TOOL.name, str(path)])
        monkeypatch.setenv('COLUMNS', '200')
        runpy.run_path(str(TOOL), run_name='__main__')
        return capsys.readouterr().out

    return run


def config(root: Path, name: str) -> Config:
    cfg = tiny.run_config(root, root / name, 1)
    cfg.train_cfg.update(stages=1, val_begin=9)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator, cfg.test_cfg = cfg.val_evaluator, dict(type='TestLoop')
    cfg.default_hooks.provenance = dict(type='ProvenanceHook')
    cfg.default_hooks.data_fingerprint = dict(type='DataFingerprintHook')
    return cfg


@pytest.fixture(scope='module')
def runs(tmp_path_factory) -> tuple[Path, Path]:
    """A warm-up on the source, and a run that starts from it."""
    root = tmp_path_factory.mktemp('rights')
    tiny.write_towns(root)
    cfg = config(root, 'warm')
    cfg.model = tiny.segmentor()
    tiny.one_stage(cfg, 1)
    cfg.train_cfg.val_begin = 9
    cfg.train_dataloader.dataset = tiny.gta(root)
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    cfg.param_scheduler = []
    Runner.from_cfg(cfg).train()
    cfg = config(root, 'cag')
    cfg.load_from = str(root / 'warm/iter_1.pth')
    Runner.from_cfg(cfg).train()
    return root / 'warm/iter_1.pth', root / 'cag/iter_1.pth'


def named(chain: list[dict], kind: str) -> dict[str, dict]:
    return {one['name']: one for one in chain if one['kind'] == kind}


def test_the_chain_goes_back_to_the_warm_up(runs):
    warm, cag = map(read_descent, runs)
    assert named(warm, 'data').keys() == {'GTA5'}
    data = named(cag, 'data')
    assert data.keys() == {'GTA5', 'Cityscapes'}
    assert data['Cityscapes']['licence'] == 'LicenseRef-Cityscapes'
    assert all(len(one['sha256']) == 64 for one in data.values())
    [run] = named(cag, 'run').values()
    assert run == entry(
        'run', 'iter_1.pth', None, checkpoint_hash(runs[0]), 'start'
    )
    code = named(cag, 'code')
    [own] = [one for name, one in code.items() if 'mmseg_cag' in name]
    assert own['licence'] == 'Apache-2.0' and len(own['sha256']) == 64


def test_a_resumed_run_has_the_chain_that_it_had(runs, tmp_path):
    cfg = config(runs[0].parents[1], 'again')
    cfg.train_cfg.stages = 2
    cfg.resume, cfg.load_from = True, str(runs[1])
    Runner.from_cfg(cfg).train()
    again = Path(cfg.work_dir, 'iter_2.pth')
    assert read_descent(again) == read_descent(runs[1])


def test_it_goes_on_into_exports_and_is_printed(runs, command, tmp_path):
    cfg = config(runs[0].parents[1], 'cag')
    student = student_checkpoint(cfg, runs[1])
    torch.save(student, tmp_path / 'student.pth')
    out = command(tmp_path / 'student.pth')
    assert 'warning: data GTA5: LicenseRef-GTA5, not for commercial' in out
    assert 'pass on with it, Apache-2.0: its text' in out
    assert out.count('iter_1.pth') == 2  # what is exported, and its warm-up
    path = tmp_path / 'student.onnx'
    graph = onnx.helper.make_graph([], 'empty', [], [])
    onnx.save(onnx.helper.make_model(graph), path)
    note(path, classes=['road'], descent=student['meta'][DESCENT])
    assert command(path) == out


def test_what_the_config_states_counts_first(tmp_path):
    mine = dict(type='CityscapesDataset', data_root=str(tmp_path / 'mine/a'))
    stated = {str(tmp_path / 'mine'): 'CC-BY-4.0'}
    assert data_terms(mine, stated) == ('a', 'CC-BY-4.0')
    assert data_terms(mine, {str(tmp_path / 'min'): 'MIT'})[0] == 'Cityscapes'
    own = dict(type='BaseSegDataset', data_root='data/mine')
    assert data_terms(own, {}) == ('mine', None)
    path = 'checkpoints/mit_b5_20220624-658746d9.pth'
    assert weights_terms(path, {}) == ('LicenseRef-NVIDIA-SegFormer', True)
    assert weights_terms(path, {'checkpoints': 'MIT'}) == ('MIT', True)
    assert weights_terms('other.pth', {}) == (None, False)


def test_the_nearest_stated_folder_counts(tmp_path):
    stated = {'data': 'CC-BY-4.0', 'data/mine': 'CC-BY-NC-4.0'}
    mine = dict(type='BaseSegDataset', data_root='data/mine/a')
    for folders in (stated, dict(reversed(stated.items()))):
        assert data_terms(mine, folders) == ('a', 'CC-BY-NC-4.0')
        other = dict(mine, data_root='data/other')
        assert data_terms(other, folders)[1] == 'CC-BY-4.0'
        path = 'data/mine/a.pth'
        assert weights_terms(path, folders)[0] == 'CC-BY-NC-4.0'


def test_equal_names_with_other_licences_stay_apart():
    members = {
        name: dict(type='BaseSegDataset', data_root=f'data/{name}/train')
        for name in 'ab'
    }
    stated = {'data/a': 'CC-BY-4.0', 'data/b': 'CC-BY-NC-4.0'}
    pool = dict(type='DomainPool', members=members)
    chain = unique([*data_in(pool, 'anchors', stated)] * 2)
    assert [(one['name'], one['licence']) for one in chain] == [
        ('train', 'CC-BY-4.0'),
        ('train', 'CC-BY-NC-4.0'),
    ]


def test_data_of_statistics_and_files_of_anchors(tmp_path):
    torch.save({'anchors': torch.ones(1)}, tmp_path / 'category_anchors')
    hooks = dict(
        anchors=dict(
            type='AnchorHook', init_from=str(tmp_path / 'category_anchors')
        ),
        norm_statistics=dict(type='NormStatisticsHook'),
    )

    def part(name: str) -> dict:
        return dict(type='BaseSegDataset', data_root=f'data/{name}')

    cfg = ConfigDict(
        model={},
        train_dataloader=dict(dataset=part('source')),
        anchor_dataloader=dict(dataset=part('more')),
        target_dataset=part('target'),
        default_hooks=hooks,
    )
    uses = {one['name']: one['used_as'] for one in descent_of(cfg, {})}
    assert uses['category_anchors'] == 'anchors'
    assert uses['more'] == 'anchors'
    assert uses['target'] == 'statistics of the target'
    cfg.default_hooks.anchors.type = 'ForeignAnchorHook'
    uses = {one['name']: one['used_as'] for one in descent_of(cfg, {})}
    assert uses['more'] == 'anchors'
    # What is trained on is listed once.
    cfg.anchor_dataloader.dataset = part('source')
    names = [one['name'] for one in descent_of(cfg, {})]
    assert names.count('source') == 1
    cfg.default_hooks = {}
    names = [one['name'] for one in descent_of(cfg, {})]
    assert not {'target', 'category_anchors'} & {*names}


def test_drawn_towns_are_this_projects_own(tmp_path):
    (tmp_path / 'minitown.json').write_text('{}')
    town = dict(type='GTADataset', data_root=str(tmp_path / 'gta'))
    assert data_terms(town, {}) == ('minitown', 'Apache-2.0')


def test_weights_of_a_model_and_of_its_teacher(runs, tmp_path):
    torch.save({'layer.weight': torch.ones(1)}, tmp_path / 'mine.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'mine.pth'))
    lite = dict(type='EfficientNetLite', pretrained='imagenet')
    cfg = ConfigDict(
        model=dict(
            backbone=dict(init_cfg=init),
            other=[lite],
            teacher=dict(config='c.py', checkpoint=str(runs[0])),
        ),
        train_dataloader=dict(dataset=dict(type='BaseSegDataset')),
        licences={str(tmp_path): 'MIT'},
    )
    chain = descent_of(cfg, {})
    weights = named(chain, 'weights')
    assert weights['mine.pth']['licence'] == 'MIT'
    assert weights['efficientnet-lite']['licence'] == 'Apache-2.0'
    assert named(chain, 'run')['iter_1.pth']['used_as'] == 'model.teacher'
    assert {'GTA5', 'ImageNet-1k'} <= named(chain, 'data').keys()
    assert json.loads(json.dumps(chain)) == chain


def test_what_is_unknown_is_warned_of(command, tmp_path):
    chain = [
        entry('weights', 'mine.pth', None),
        entry('data', 'photos', 'LicenseRef-Mine'),
        entry('data', 'free', 'CC0-1.0'),
    ]
    path = tmp_path / 'a.pth'
    torch.save({'meta': {DESCENT: chain}, 'state_dict': {}}, path)
    out = command(path)
    assert 'weights mine.pth: has no known licence; look it up' in out
    assert 'data photos: LicenseRef-Mine is not in our list' in out
    assert 'data free' not in out.split('warning', 1)[1]


@pytest.mark.parametrize(
    ('name', 'content', 'told'),
    [
        ('none.pth', None, 'not found'),
        ('none.onnx', None, 'not found'),
        ('bad.onnx', b'no network', 'cannot be read as ONNX'),
        ('bad.pth', b'no network', 'has no provenance'),
    ],
)
def test_bad_files(command, tmp_path, name, content, told):
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit, match=told):
        command(tmp_path / name)


def test_a_checkpoint_that_says_nothing(command, tmp_path):
    meta = {DESCENT: [{'kind': 'data'}, 'data', None]}
    torch.save({'meta': meta, 'state_dict': {}}, tmp_path / 'old.pth')
    with pytest.raises(SystemExit, match='expected a checkpoint of version'):
        command(tmp_path / 'old.pth')
