# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from mmseg_cag.data_check.collect import collect
from mmseg_cag.data_check.consistency import check_class_count
from mmseg_cag.data_check.report import Report
from tests import tiny
from tests.doctor import check, gta_config

WRAPPERS = {
    'repeat': lambda cfg: dict(type='RepeatDataset', dataset=cfg, times=2),
    'concat': lambda cfg: dict(type='ConcatDataset', datasets=[cfg]),
    'skip': lambda cfg: dict(type='SkipBadFiles', dataset=cfg),
}


def test_all_that_a_run_reads(town):
    readings, findings = collect(gta_config(town))
    assert findings == []
    assert [(r.role, r.labelled) for r in readings] == [
        ('source', True),
        ('target', False),
        ('val', True),
    ]
    assert readings[0].key == 'train_dataloader.dataset.domains.source'
    assert readings[0].again == ['anchor_dataloader.dataset']
    assert readings[2].again == ['test_dataloader.dataset']


@pytest.mark.parametrize('wrap', WRAPPERS)
def test_wrappers_are_looked_into(town, wrap):
    cfg = gta_config(town)
    source = cfg.train_dataloader.dataset.domains.source
    cfg.train_dataloader.dataset.domains.source = WRAPPERS[wrap](source)
    (town / 'gta/labels/00001.png').unlink()
    report = check(cfg)
    assert report.exit_code == 2
    [name] = {f.name for f in report.all_findings if f.kind.level == 2}
    assert name == 'missing label'


def test_one_sigmoid_is_for_two_classes():
    model = dict(decode_head=dict(num_classes=1))
    assert not [*check_class_count(model, 2)]
    [finding] = check_class_count(model, 1)
    assert finding.problem == (
        'is 1 (one sigmoid, for two classes), but the data have 1 class'
    )


@pytest.mark.parametrize('changes', [{}, dict(void_ids=[9]), dict(ids=[2, 1])])
def test_labels_read_in_two_ways_are_two_data_sets(tmp_path, changes):
    for folder in ('images', 'labels'):
        tiny.save_image(tmp_path / folder / '1.png', np.ones((8, 8), np.uint8))
    load = dict(type='LoadLabelsByName', classes=['road', 'sky'], void_ids=[])
    datasets = []
    for settings in (dict(ids=[1, 2]), dict(dict(ids=[1, 2]), **changes)):
        ids = dict(zip(load['classes'], settings.pop('ids'), strict=True))
        datasets.append(
            dict(
                type='BaseSegDataset',
                data_root=str(tmp_path),
                data_prefix=dict(img_path='images', seg_map_path='labels'),
                metainfo=dict(classes=load['classes']),
                pipeline=[{**load, 'ids': ids, **settings}],
            )
        )
    val, test = (dict(dataset=dataset) for dataset in datasets)
    readings, _ = collect(
        Config(dict(val_dataloader=val, test_dataloader=test))
    )
    assert len(readings) == (2 if changes else 1)


def check_folders(root: Path) -> Report:
    """Check the folders ``images`` and ``labels``, with two classes."""
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        img_suffix='.png',
        metainfo=dict(classes=['road', 'sky']),
        pipeline=[dict(type='LoadAnnotations')],
    )
    return check(Config(dict(val_dataloader=dict(dataset=dataset))))


def test_a_few_endings_of_labels_are_named(tmp_path):
    for number in range(1, 20):
        for path in (f'images/{number}.png', f'labels/{number}_id.png'):
            tiny.save_image(tmp_path / path, np.ones((4, 4), np.uint8))
    report = check_folders(tmp_path)
    [found] = [f for f in report.all_findings if f.name == 'wrong suffix']
    endings = '_id.png, 0_id.png, 1_id.png, 2_id.png, 3_id.png, 4_id.png, ...'
    assert found.problem == f'expected labels *.png, found endings {endings}'


@pytest.mark.parametrize('bits', [8, 16])
def test_labels_of_more_bits_than_are_read(tmp_path, bits):
    ids = np.arange(16, dtype=f'uint{bits}').reshape(4, 4) % 2
    tiny.save_image(tmp_path / 'images/1.png', ids.astype(np.uint8))
    tiny.save_image(tmp_path / 'labels/1.png', ids)
    report = check_folders(tmp_path)
    found = [(f.name, f.problem) for f in report.all_findings]
    problem = '8 bits are read, found 1 channel(s) of 16 bits'
    assert found == [('upper bits not read', problem)] * (bits > 8)


def test_an_ordinary_run(town):
    loader = dict(dataset=tiny.cityscapes(town, 'train'))
    readings, _ = collect(Config(dict(train_dataloader=loader)))
    assert [(r.role, r.labelled) for r in readings] == [('train', True)]


def test_mmsegs_own_train_id_files(tmp_path):
    truth = tiny.write_cityscapes(tmp_path, 'val', 2)
    paths = sorted((tmp_path / 'gtFine/val').rglob('*_labelIds.png'))
    for path, labels in zip(paths, truth, strict=True):
        name = path.name.replace('labelIds', 'labelTrainIds')
        tiny.save_image(path.with_name(name), labels)
    dataset = tiny.cityscapes(tmp_path.parent, 'val')
    dataset['data_root'] = str(tmp_path)
    dataset['seg_map_suffix'] = '_gtFine_labelTrainIds.png'
    dataset['pipeline'][1] = dict(type='LoadAnnotations')
    report = check(Config(dict(val_dataloader=dict(dataset=dataset))))
    assert {f.name for f in report.all_findings} == {
        'class never seen',
        'unexpected count',  # two images are not the 500 that were published
    }
    shares = {r['class']: r for r in report.as_dict()['data'][0]['classes']}
    assert shares['road']['images'] == 2 and shares['road']['ids'] == [0]
    assert shares['train']['share'] == 0


def test_another_kind_of_data_set_is_noted(town):
    cfg = gta_config(town)
    cfg.val_dataloader.dataset = dict(
        type='BaseCDDataset', data_prefix=dict(img_path='a', img_path2='b')
    )
    cfg.pop('test_dataloader')
    report = check(cfg)
    assert report.exit_code == 0
    assert 'not checked' in {f.name for f in report.all_findings}


def test_data_in_zip_files(tmp_path):
    tiny.write_gta(tmp_path / 'plain/gta', 3)
    parts = {'images.zip': 'images/*', 'labels.zip': 'labels/*'}
    tiny.zip_parts(tmp_path / 'plain/gta', tmp_path / 'gta', parts)
    dataset = tiny.gta(tmp_path)
    dataset['data_root'] = f'zip://{tmp_path}/gta'
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    report = check(cfg)
    assert report.parts[0].decoded == 3
    assert {f.name for f in report.all_findings} == {
        'unexpected count',
        'class never seen',
    }
    cfg.train_dataloader.dataset.data_root = f'zip://{tmp_path}/none'
    found = {f.name for f in check(cfg).all_findings}
    assert found == {'missing folder'}


def test_colours_that_stand_for_classes(tmp_path):
    ids = {'road': (90, 80, 90), 'sky': (120, 170, 220)}
    labels = dict(type='LoadLabelsByName', classes=[*ids], ids=ids)
    colours = np.full((*tiny.SIZE, 3), ids['road'], np.uint8)
    for folder in ('images', 'labels'):
        tiny.save_image(tmp_path / folder / '1.png', colours)
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        img_suffix='.png',
        metainfo=dict(classes=[*ids]),
        pipeline=[dict(type='LoadImageFromFile'), labels],
    )
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    [finding] = check(cfg).all_findings
    assert finding.name == 'class never seen' and 'sky' in finding.problem
    colours[:2] = 7
    tiny.save_image(tmp_path / 'labels/1.png', colours)
    found = {f.name: f for f in check(cfg).all_findings}
    assert '(7, 7, 7)' in found['unknown ids'].problem
    assert 'void_ids' in found['unknown ids'].remedy
    cfg.train_dataloader.dataset.metainfo = dict(classes=['sky', 'road'])
    found = {f.name for f in check(cfg).all_findings}
    assert 'class names differ' in found


def test_published_counts_hold_where_nothing_else_is_known(town):
    (town / 'minitown.json').unlink()
    cfg = gta_config(town)
    problems = [
        f.problem
        for f in check(cfg).all_findings
        if f.name == 'unexpected count'
    ]
    assert problems == [
        'GTA5 has 24966 images, found 4',
        'Cityscapes has 2975 images, found 4',
        'Cityscapes has 500 images, found 3',
    ]


def test_a_deliberate_subset_is_not_counted(town):
    (town / 'minitown.json').unlink()
    cfg = gta_config(town)
    for part in (
        cfg.train_dataloader.dataset.domains.source,
        cfg.train_dataloader.dataset.domains.target,
        cfg.val_dataloader.dataset,
        cfg.anchor_dataloader.dataset,
    ):
        part.indices = 2
    found = {f.name for f in check(cfg).all_findings}
    assert 'unexpected count' not in found
    assert 'label without image' not in found
