# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""GTADataset and SYNTHIADataset in their published forms on disk."""

from __future__ import annotations

import numpy as np
import pytest
from mmseg.datasets import CityscapesDataset
from mmseg.registry import DATASETS
from PIL import Image

from tests import tiny

SETS = {
    'GTADataset': (tiny.write_gta, tiny.gta, 'gta', 'images'),
    'SYNTHIADataset': (tiny.write_synthia, tiny.synthia, 'synthia', 'RGB'),
}


@pytest.mark.parametrize('name', SETS)
def test_samples_are_those_of_the_files(tmp_path, name):
    write, config, folder, images = SETS[name]
    truth = write(tmp_path / folder, 3)
    dataset = DATASETS.build(config(tmp_path))
    assert type(dataset).__name__ == name
    assert len(dataset) == 3
    files = sorted((tmp_path / folder / images).iterdir())
    for sample, labels, path in zip(dataset, truth, files, strict=True):
        found = sample['data_samples'].gt_sem_seg.data[0].numpy()
        assert np.array_equal(found, labels)
        rgb = np.asarray(Image.open(path)).transpose(2, 0, 1)
        assert np.array_equal(sample['inputs'].numpy()[::-1], rgb)
        assert sample['data_samples'].img_path == str(path)


@pytest.mark.parametrize('name', SETS)
def test_classes_and_palette_are_those_of_cityscapes(tmp_path, name):
    write, config, folder, _ = SETS[name]
    write(tmp_path / folder, 1)
    metainfo = DATASETS.build(config(tmp_path)).metainfo
    for key in ('classes', 'palette'):
        assert list(metainfo[key]) == list(CityscapesDataset.METAINFO[key])


def test_a_class_subset_takes_its_palette_along(tmp_path):
    tiny.write_synthia(tmp_path / 'synthia', 1)
    cfg = {
        **tiny.synthia(tmp_path),
        'metainfo': dict(classes=('sky', 'road')),
    }
    dataset = DATASETS.build(cfg)
    assert list(dataset.metainfo['palette']) == [
        [70, 130, 180],
        [128, 64, 128],
    ]
    labels = dataset[0]['data_samples'].gt_sem_seg.data
    assert set(labels.unique().tolist()) == {0, 1, 255}
