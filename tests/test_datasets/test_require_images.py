# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
from mmengine.dataset import BaseDataset
from mmseg.registry import DATASETS

from mmseg_cag.datasets.dataset_configs import class_info, require_images
from mmseg_cag.engine.checks.check_data_hook import (
    list_readings,
    stop_at_faults,
)
from tests import tiny


@pytest.fixture
def towns(tmp_path):
    tiny.write_towns(tmp_path)
    return tmp_path


def test_data_sets_with_images_pass(towns):
    part = tiny.gta(towns)
    for cfg in (
        part,
        tiny.uda(towns),
        dict(type='RepeatDataset', times=2, dataset=part),
        dict(type='ConcatDataset', datasets=[part, part]),
    ):
        require_images(cfg, 'data')


@DATASETS.register_module()
class ListedDataset(BaseDataset):
    """A data set of mmengine, with other settings than mmseg's."""

    METAINFO = dict(classes=('road', 'sky'))

    def load_data_list(self) -> list[dict]:
        folders = dict(img_path='images', seg_map_path='labels')
        return [
            {k: f'{self.data_root}/{v}/{name}.png' for k, v in folders.items()}
            for name in self.metainfo['names']
        ]


def test_another_kind_of_data_set_needs_images(towns):
    cfg = dict(
        type='ListedDataset',
        data_root=str(towns / 'gta'),
        metainfo=dict(names=['00001', '00002']),
        pipeline=[dict(type='LoadAnnotations')],
    )
    require_images(cfg, 'data')
    datasets = dict(train_dataloader=DATASETS.build(cfg))
    stop_at_faults(list_readings(datasets), 1)
    (towns / 'gta/labels/00002.png').unlink()
    with pytest.raises(FileNotFoundError, match='00002.*not found'):
        stop_at_faults(list_readings(datasets), 1)
    cfg['metainfo'] = dict(names=[])
    with pytest.raises(ValueError, match='^data'):
        require_images(cfg, 'data')


def test_classes_in_a_file(tmp_path):
    path = tmp_path / 'classes.txt'
    dataset = dict(type='BaseSegDataset', metainfo=dict(classes=str(path)))
    cfg = dict(val_dataloader=dict(dataset=dataset))
    with pytest.raises(ValueError, match=r'classes\.txt.: no such file'):
        class_info(cfg)
    path.write_text('road\nsky\n')
    found = class_info(cfg)
    assert found['classes'] == ['road', 'sky'] and len(found['palette']) == 2


def test_the_part_without_images_is_named(towns):
    (towns / 'void').mkdir()
    part = tiny.gta(towns)
    empty = {
        **part,
        'data_root': str(towns),
        'data_prefix': dict(img_path='void'),
    }
    cfg = dict(type='ConcatDataset', datasets=[part, empty])
    with pytest.raises(ValueError, match=r'data\.datasets\.1 has no image'):
        require_images(cfg, 'data')
    cfg = dict(type='RepeatDataset', times=2, dataset=empty)
    with pytest.raises(ValueError, match=r'data\.dataset has no image'):
        require_images(cfg, 'data')


def test_what_is_not_set_is_named(towns):
    with pytest.raises(ValueError, match='data is missing'):
        require_images(None, 'data')
    with pytest.raises(ValueError, match=r'data\.domains\.target is missing'):
        cfg = tiny.uda(towns)
        cfg['domains']['target'] = None
        require_images(cfg, 'data')
    cfg = {**tiny.gta(towns), 'data_prefix': dict(seg_map_path='labels')}
    with pytest.raises(ValueError, match=r'data_prefix\.img_path is missing'):
        require_images(cfg, 'data')
    cfg = {**tiny.gta(towns), 'data_root': str(towns / 'none')}
    with pytest.raises(FileNotFoundError, match='no folder .*none'):
        require_images(cfg, 'data')
