# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from mmseg_cag.datasets.dataset_configs import require_images
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
