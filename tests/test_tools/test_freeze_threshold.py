# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""tools/freeze_threshold.py on tiny towns, in this process."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS

from mmseg_cag.analysis.evaluate import build_runner
from mmseg_cag.datasets.roles import (
    Roles,
    labelled_images,
    read_roles,
    write_roles,
)
from mmseg_cag.engine.records.descent import read_descent
from tests import tiny

TOOL = Path(__file__).parents[2] / 'tools/freeze_threshold.py'
CLASSES = ['background', 'car']


def binary(root: Path, split: str) -> dict:
    """The target's cars, and all else as the background."""
    cfg = tiny.cityscapes(root, split)
    ids = {str(raw): raw for raw in tiny.CITYSCAPES.values() if raw}
    merge = {name: 'background' for name in ids}
    merge[str(tiny.CITYSCAPES[tiny.CAR])] = 'car'
    reader = dict(
        type='LoadLabelsByName',
        classes=CLASSES,
        ids=ids,
        merge=merge,
        void_ids=[0],
    )
    cfg['pipeline'] = [cfg['pipeline'][0], reader, cfg['pipeline'][-1]]
    return dict(
        cfg,
        type='BaseSegDataset',
        img_suffix='_leftImg8bit.png',
        metainfo=dict(classes=CLASSES),
        test_mode=True,
    )


@pytest.fixture(params=[1, 2])
def town(request, tmp_path):
    """A config of a binary run, its checkpoint and roles."""
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run')
    model = dict(tiny.segmentor(), type='SupervisedSegmentor')
    model['decode_head'].update(num_classes=request.param, threshold=0.5)
    cfg.model = model
    dataset = binary(tmp_path, 'train')
    loader = dict(cfg.val_dataloader, dataset=dataset)
    for part in ('val', 'test'):
        cfg[f'{part}_dataloader'] = loader
        cfg[f'{part}_evaluator'] = dict(
            type='UDAIoUMetric', iou_metrics=['mIoU', 'mFscore']
        )
    cfg.test_cfg = dict(type='TestLoop')
    torch.manual_seed(0)
    network = MODELS.build(cfg.model)
    network.init_weights()
    state = network.state_dict()
    # Nothing is a car by the usual threshold.
    state['decode_head.conv_seg.bias'][-1] -= 3
    torch.save({'state_dict': state}, tmp_path / 'iter_1.pth')
    lines = [f'{key} = {value!r}' for key, value in cfg.to_dict().items()]
    (tmp_path / 'config.py').write_text('\n'.join(lines))
    built = DATASETS.build(dataset)
    images = dict(choose=labelled_images(built, range(5)))
    roles = Roles(tuple(CLASSES), images)
    write_roles(tmp_path / 'roles.json', roles)
    return tmp_path


@pytest.fixture
def run(town, monkeypatch):
    def tool(*words: object, out: str = 'frozen.pth') -> dict:
        arguments = [TOOL, town / 'config.py', town / 'iter_1.pth']
        arguments += [town / out, '--roles', town / 'roles.json', *words]
        monkeypatch.setattr('sys.argv', list(map(str, arguments)))
        runpy.run_path(str(TOOL), run_name='__main__')
        return torch.load(town / out, weights_only=False)

    return tool


def test_the_threshold_is_in_the_weights(run, town, capsys):
    written = run()
    assert written['threshold']['role'] == 'choose'
    assert 0 < written['threshold']['probability'] < 0.5
    images = read_roles(town / 'roles.json').of('choose')
    hashes = [image.image_sha256 for image in images]
    assert [*written['threshold']['image_sha256'].values()] == hashes
    uses = {one['used_as']: one for one in read_descent(town / 'frozen.pth')}
    assert uses.keys() == {'given a threshold', 'threshold'}
    assert uses['threshold']['kind'] == 'data'
    said = capsys.readouterr().out.splitlines()[-1]
    best, before = (
        float(part.split()[-1])
        for part in said.split('F1 ')[1].split(', before ')
    )
    cfg = Config.fromfile(town / 'config.py')
    for name, expected in (('frozen', best), ('iter_1', before)):
        runner = build_runner(cfg, town / f'{name}.pth', town / name)
        found = runner.test().get('F1.car', 0.0)
        assert found == pytest.approx(expected, abs=0.5)
    assert best > before
    with pytest.raises(SystemExit, match='already exists'):
        run()


def test_the_threshold_is_that_of_sliding_windows(run, town, capsys):
    """Whose scores at their borders differ from those of the whole image."""
    cfg = Config.fromfile(town / 'config.py')
    windows = dict(mode='slide', crop_size=(8, 8), stride=(8, 8))
    cfg.model.test_cfg = windows
    lines = [f'{key} = {value!r}' for key, value in cfg.to_dict().items()]
    (town / 'config.py').write_text('\n'.join(lines))
    run()
    said = capsys.readouterr().out.splitlines()[-1]
    best = float(said.split('F1 ')[1].split(',')[0])
    runner = build_runner(cfg, town / 'frozen.pth', town / 'test')
    assert runner.test()['F1.car'] == pytest.approx(best, abs=0.5)


@pytest.mark.parametrize('town', [1], indirect=True)
def test_probabilities_that_are_resized_have_no_threshold(run, town):
    cfg = Config.fromfile(town / 'config.py')
    cfg.model.test_cfg.softmax_first = True
    lines = [f'{key} = {value!r}' for key, value in cfg.to_dict().items()]
    (town / 'config.py').write_text('\n'.join(lines))
    with pytest.raises(SystemExit, match='softmax_first: predictions are of'):
        run()
    assert not (town / 'frozen.pth').exists()


def test_the_best_f1_by_trying_all_thresholds():
    tool = runpy.run_path(str(TOOL))
    rng = np.random.default_rng(0)
    truth = rng.random(500) < 0.2
    odds = rng.normal(size=500) + 1.5 * truth - 2
    counts = np.stack(
        [
            np.histogram(odds[truth == category], tool['EDGES'])[0]
            for category in (False, True)
        ]
    )
    found = tool['f1_by_threshold'](counts)
    for index in range(0, len(found), 97):
        chosen = odds >= tool['EDGES'][index]
        hits = (chosen & truth).sum()
        expected = 200 * hits / max(chosen.sum() + truth.sum(), 1)
        assert found[index] == pytest.approx(expected)
    best = tool['best_odds'](counts)
    assert found.max() == found[np.searchsorted(tool['EDGES'], best)]


def test_a_role_that_is_empty(run):
    with pytest.raises(SystemExit, match='no image has the role train'):
        run('--role', 'train')


def test_more_than_two_classes(run, town):
    cfg = Config.fromfile(town / 'config.py')
    cfg.test_dataloader.dataset.metainfo.classes.append('bus')
    lines = [f'{key} = {value!r}' for key, value in cfg.to_dict().items()]
    (town / 'config.py').write_text('\n'.join(lines))
    with pytest.raises(SystemExit, match='test_dataloader.dataset: 3 classes'):
        run()


def test_certify_is_for_measuring(run, capsys):
    with pytest.raises(SystemExit):
        run('--role', 'certify')
    assert 'invalid choice' in capsys.readouterr().err
