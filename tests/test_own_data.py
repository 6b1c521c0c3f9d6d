# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A user's own pair of domains, by the recipe of docs/own_data.md."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import DATA_SAMPLERS, DATASETS, MODELS
from mmseg.structures import SegDataSample

from mmseg_cag.fileio.safe_config import load_config
from mmseg_cag.launch.settings import check_settings
from mmseg_cag.minitown.town import draw_minitown
from tests import own_data, tiny

ROOT = Path(__file__).parents[1]
SIZE = (64, 128)
# What a user would change in the copy, for data that are this small.
CHANGES = {
    '_base_/data.py': [
        ('(1280, 720)', str(SIZE[::-1])),
        ('(512, 512)', str(SIZE)),
    ],
    '_base_/teacher.py': [('= 15000', '= 4')],
    '_base_/supervised.py': [('= 20000', '= 2'), ('// 10', '// 2')],
}
NO_WORKERS = [
    f'{loader}_dataloader.{key}'
    for loader in ('train', 'val', 'test')
    for key in ('num_workers=0', 'persistent_workers=False')
]


@pytest.fixture(scope='module')
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with own data under data/ and configs/mine."""
    root = tmp_path_factory.mktemp('project')
    draw_minitown(root, size=SIZE, source=4, target=3, val=3, synthia=1)
    own_data.write_own(root, root / 'data')
    shutil.copytree(ROOT / 'configs', root / 'configs')
    mine = root / 'configs/mine'
    shutil.copytree(mine.with_name('custom'), mine)
    for name, changes in CHANGES.items():
        path = mine / name
        for old, new in changes:
            assert path.read_text().count(old) == 1
            path.write_text(path.read_text().replace(old, new))
    return root


@pytest.fixture
def call(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Run a tool of the project as its command line does."""

    def run(tool: str, *arguments: object) -> None:
        script = str(ROOT / 'tools' / tool)
        options = ['--cfg-options', *NO_WORKERS]
        options += [f'start_options.{option}' for option in NO_WORKERS]
        line = [script, *map(str, arguments), *options]
        monkeypatch.setattr(sys, 'argv', line)
        runpy.run_path(script, run_name='__main__')

    monkeypatch.chdir(project)
    return run


def load(project: Path, monkeypatch, part: str) -> list[tuple]:
    monkeypatch.chdir(project)
    cfg = Config.fromfile('configs/mine/source_only.py')
    parts = dict(
        source=cfg.anchor_dataloader.dataset, target=cfg.val_dataloader.dataset
    )
    dataset = DATASETS.build(parts[part])
    assert list(dataset.metainfo['classes']) == own_data.CLASSES
    samples = [sample['data_samples'] for sample in dataset]
    return [(s.seg_map_path, s.gt_sem_seg.data[0].numpy()) for s in samples]


def test_source_labels_are_those_that_were_drawn(project, monkeypatch):
    samples = load(project, monkeypatch, 'source')
    assert len(samples) == 4
    for path, labels in samples:
        ids = own_data.read(project / 'gta/labels' / Path(path).name)
        truth = own_data.translate(ids, own_data.SIM_TRUTH, 255)
        assert np.array_equal(labels, truth)


def test_target_labels_are_those_that_were_drawn(project, monkeypatch):
    samples = load(project, monkeypatch, 'target')
    assert len(samples) == 3
    for path, labels in samples:
        stem = Path(path).name.replace('_leftImg8bit', '_gtFine_labelIds')
        [source] = (project / 'cityscapes').rglob(stem)
        ids = own_data.read(source)
        truth = own_data.translate(ids, own_data.REAL_TRUTH, 255)
        assert np.array_equal(labels, truth)


@pytest.mark.parametrize(
    'name',
    ['source_only', 'anchor_teacher', 'few_labels', 'cag', 'hrda', 'mic']
    + ['daformer', 'proda'],
)
def test_a_smaller_image_is_padded_to_the_crop(name):
    cfg = Config.fromfile(ROOT / f'configs/custom/{name}.py')
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    small = torch.zeros(3, 384, 512, dtype=torch.uint8)
    batch = dict(inputs=[small], data_samples=[SegDataSample()])
    assert preprocessor(batch, True)['inputs'].shape[2:] == cfg.crop_size
    assert preprocessor(batch, False)['inputs'].shape[2:] == (384, 512)


# Labels of some images that are adapted on, or of those to evaluate on.
@pytest.mark.parametrize('folder', ['train', 'val'])
def test_a_few_labels_with_rare_classes(
    project, monkeypatch, tmp_path, folder
):
    for name in ('configs', 'data'):
        shutil.copytree(project / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    mine = Path('configs/mine')
    if folder == 'val':
        text = (mine / '_base_/data.py').read_text()
        text = text.replace("'train_labels'", "'labels'")
        text = text.replace("'train', seg_map", "'val', seg_map")
        (mine / '_base_/data.py').write_text(text)
    with (mine / 'few_labels.py').open('a') as file:
        file.write('train_dataloader = _base_.rare_classes\n')
    line = 'configs/mine/few_labels.py data/real/roles.json --train 1'
    script = str(ROOT / 'tools/assign_roles.py')
    monkeypatch.setattr(sys, 'argv', [script, *line.split(), '--choose=1'])
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(ROOT / 'tools'))
        runpy.run_path(script, run_name='__main__')
    cfg = load_config(mine / 'few_labels.py')
    check_settings(cfg)
    train = DATASETS.build(cfg.train_dataloader.dataset)
    stream = DATA_SAMPLERS.build(
        dict(cfg.train_dataloader.sampler, dataset=train, seed=0)
    )
    [images, few] = train.domains['source'].datasets
    drawn = [
        index['source']
        for _, (_, index) in zip(range(8), stream, strict=False)
    ]
    places = [getattr(one, 'index', one) for one in drawn]
    assert sum(place >= len(images) for place in places) == 2
    assert any(hasattr(one, 'index') for one in drawn)  # by its class
    used = [few, DATASETS.build(cfg.val_dataloader.dataset)]
    assert [len(dataset) for dataset in used] == [1, 1]
    used = {dataset.get_data_info(0)['img_path'] for dataset in used}
    test = DATASETS.build(cfg.test_dataloader.dataset)
    tested = {test.get_data_info(i)['img_path'] for i in range(len(test))}
    assert all(f'/{folder}/' in path for path in used)
    assert not used & tested
    assert len(tested) == (3 if folder == 'train' else 1)


PAGE = (ROOT / 'docs/own_data.md').read_text()
RATES = re.findall(
    r'^```python\n# [^\n]*\n(optim_wrapper.*?)```', PAGE, re.M | re.S
)


@pytest.mark.parametrize(
    ('rate', 'network', 'published'),
    [
        (0, 'segformer_mit-b2', 'source_only/segformer_mit-b2_gta2cs'),
        (1, 'vfmuda_dinov2-b', 'vfm_uda/source_only_dinov2-b_gta2cs'),
    ],
)
@pytest.mark.parametrize('leaf', ['source_only', 'anchor_teacher', 'cag'])
def test_another_network_has_its_rate(project, rate, network, published, leaf):
    config = project / f'configs/mine/{leaf}.py'
    text = config.read_text().replace('segformer_effnet-lite0', network)
    other = config.with_name(f'{leaf}_{network}.py')
    other.write_text(f'{text}\n{RATES[rate]}')
    cfg = load_config(other)
    check_settings(cfg)
    expected = load_config(ROOT / f'configs/{published}.py').optim_wrapper
    assert cfg.optim_wrapper.optimizer == expected.optimizer
    assert cfg.optim_wrapper.constructor == expected.constructor
    own = cfg.optim_wrapper.paramwise_cfg
    if rate:
        assert own.encoder_mult == expected.paramwise_cfg.encoder_mult
    else:
        mult = expected.paramwise_cfg.custom_keys.decode_head.lr_mult
        assert own.custom_keys.head.lr_mult == mult


def test_windows_of_hrda_are_those_of_ones_crops(project):
    config = project / 'configs/mine/hrda.py'
    text = config.read_text().replace('effnet-lite0', 'mit-b5')
    config.with_name('hrda_mit-b5.py').write_text(text)
    found = load_config(config.with_name('hrda_mit-b5.py')).model.test_cfg
    half = tuple(side // 2 for side in SIZE)
    assert found == dict(mode='slide', crop_size=SIZE, stride=half)


@pytest.mark.long
def test_it_trains_adapts_and_is_evaluated(project, call, capfd):
    config = 'configs/mine/anchor_teacher.py'
    call('train.py', config)
    assert (project / 'work_dirs/mine/source_only/iter_2.pth').is_file()
    trained = capfd.readouterr().out
    assert 'sky = id 5; vehicle = id 6, 7; ignored = id 0' in trained
    assert 'vehicle = id 1000; ignored = id 6000, 65535' in trained
    assert re.search(r'Last: mIoU [\d.]+ at .* 2 \(iter_2.pth\)', trained)
    work_dir = project / 'work_dirs/mine/anchor_teacher'
    noted = json.loads((work_dir / 'validation.json').read_text())
    assert list(noted) == ['1', '2', '3', '4']
    call('test.py', config, work_dir / 'iter_4.pth')
    tested = capfd.readouterr().out
    assert re.search(r'\|\s+vehicle +\|', tested)
    assert f'Evaluated at {SIZE[1]}x{SIZE[0]}' in tested
    [report] = work_dir.glob('test/*/*.json')
    report = json.loads(report.read_text())
    for name in ('mIoU', *(f'IoU.{name}' for name in own_data.CLASSES)):
        assert report[name] == pytest.approx(noted['4'][name], abs=0.01)


def test_an_undeclared_id_ends_the_run_with_one_line(project, call, tmp_path):
    label = project / 'data/sim/labels/00001.png'
    kept = label.read_bytes()
    ids = own_data.read(label).copy()
    ids[0, 0] = 99
    tiny.save_image(label, ids)
    with pytest.raises(SystemExit) as caught:
        call(
            *('train.py', 'configs/mine/source_only.py'),
            *('--work-dir', tmp_path),
        )
    label.write_bytes(kept)
    message = str(caught.value)
    assert re.match(r'error: \S+00001\.png: neither .* id 99$', message)
    assert '\n' not in message
