# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image

from tests import tiny

TABLES = {
    'cityscapes': '7:0 8:1 11:2 12:3 13:4 17:5 19:6 20:7 21:8 22:9 23:10 '
    '24:11 25:12 26:13 27:14 28:15 31:16 32:17 33:18',
    'synthia': '3:0 4:1 2:2 21:3 5:4 7:5 15:6 9:7 6:8 16:9 1:10 10:11 17:12 '
    '8:13 18:14 19:15 20:16 12:17 11:18',
}
TABLES['gta'] = TABLES['cityscapes']


def expected(ids: np.ndarray, table: str, ignored: int = 255) -> np.ndarray:
    pairs = dict(map(int, pair.split(':')) for pair in table.split())
    out = np.empty(ids.shape, np.uint8)
    for index, value in np.ndenumerate(ids):
        out[index] = pairs.get(int(value), ignored)
    return out


def load(path, ids, label_map=None, **kwargs) -> np.ndarray:
    step = TRANSFORMS.build(dict(type='LoadLabelIds', ids=ids, **kwargs))
    sample = dict(seg_map_path=str(path), label_map=label_map, seg_fields=[])
    sample = step(sample)
    assert sample['seg_fields'] == ['gt_seg_map']
    return sample['gt_seg_map']


def all_bytes() -> np.ndarray:
    return np.arange(256, dtype=np.uint8).reshape(16, 16)


def test_every_id_of_a_gta_palette(tmp_path):
    tiny.save_palette(tmp_path / 'l.png', all_bytes())
    labels = load(tmp_path / 'l.png', 'gta')
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, expected(all_bytes(), TABLES['gta']))


def test_every_id_of_a_cityscapes_map(tmp_path):
    tiny.save_image(tmp_path / 'l.png', all_bytes())
    labels = load(tmp_path / 'l.png', 'cityscapes')
    assert np.array_equal(labels, expected(all_bytes(), TABLES['cityscapes']))


def test_synthia_reads_16_bits_of_red_alone(tmp_path):
    ids = np.arange(1024).reshape(32, 32)  # 256 + 3 is no road
    green = np.random.default_rng(0).integers(0, 2**16, ids.shape)
    tiny.save_red16(tmp_path / 'l.png', ids, green)
    labels = load(tmp_path / 'l.png', 'synthia')
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, expected(ids, TABLES['synthia']))
    assert (labels[ids > 255] == 255).all()


def test_another_ignore_index(tmp_path):
    tiny.save_image(tmp_path / 'l.png', all_bytes())
    labels = load(tmp_path / 'l.png', 'cityscapes', ignore_index=250)
    table = TABLES['cityscapes']
    assert np.array_equal(labels, expected(all_bytes(), table, 250))


def test_a_choice_of_classes_by_the_data_sets_metainfo(tmp_path):
    [truth] = tiny.write_gta(tmp_path / 'gta', 1)
    classes = ('car', 'sky', 'road')
    cfg = {**tiny.gta(tmp_path), 'metainfo': dict(classes=classes)}
    labels = DATASETS.build(cfg)[0]['data_samples'].gt_sem_seg.data[0]
    chosen = {tiny.CAR: 0, tiny.SKY: 1, tiny.ROAD: 2}
    for index, value in np.ndenumerate(truth):
        assert labels[index] == chosen.get(int(value), 255)
    assert set(labels.unique().tolist()) == {0, 1, 2, 255}


def test_classes_left_out_become_the_chosen_ignore_index(tmp_path):
    [truth] = tiny.write_gta(tmp_path / 'gta', 1)
    cfg = {
        **tiny.gta(tmp_path),
        'metainfo': dict(classes=('car', 'sky', 'road')),
        'pipeline': [
            dict(type='LoadImageFromFile'),
            dict(type='LoadLabelIds', ids='gta', ignore_index=250),
            dict(type='PackSegInputs'),
        ],
    }
    labels = DATASETS.build(cfg)[0]['data_samples'].gt_sem_seg.data[0]
    assert (labels.numpy()[truth == tiny.BUILDING] == 250).all()
    assert set(labels.unique().tolist()) == {0, 1, 2, 250}


def write_text(path, ids):
    path.write_text('no image')


def write_nothing(path, ids):
    path.write_bytes(b'')


def write_half(path, ids):
    # Noise does not compress, so that half the file is half the pixels.
    noise = np.random.default_rng(0).integers(0, 200, (64, 64))
    if ids == 'synthia':
        tiny.save_red16(path, noise, noise)
    else:
        tiny.save_palette(path, noise.astype(np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def write_header(path, ids):
    write_half(path, ids)
    path.write_bytes(path.read_bytes()[:40])


def write_none(path, ids):
    """Leave the file out."""


@pytest.mark.parametrize('ids', sorted(TABLES))
@pytest.mark.parametrize(
    'write', [write_text, write_nothing, write_half, write_header, write_none]
)
def test_a_file_that_cannot_be_read(tmp_path, ids, write):
    path = tmp_path / 'label.png'
    write(path, ids)
    with pytest.raises(ValueError) as caught:
        load(path, ids)
    assert str(path) in str(caught.value)
    assert ids in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('ids', ['cityscapes', 'gta'])
def test_a_colour_image_is_no_label(tmp_path, ids):
    path = tmp_path / 'colour.png'
    Image.new('RGB', (8, 4)).save(path)
    with pytest.raises(ValueError, match=r'colour\.png: expected one'):
        load(path, ids)


@pytest.mark.parametrize('mode', ['1', 'F'])
def test_a_map_without_integers_is_no_label(tmp_path, mode):
    path = tmp_path / 'label.tiff'
    Image.new(mode, (8, 4)).save(path)
    with pytest.raises(ValueError, match=r'label\.tiff: '):
        load(path, 'gta')


def test_unknown_format():
    with pytest.raises(ValueError, match="ids='kitti' is unknown.*synthia"):
        TRANSFORMS.build(dict(type='LoadLabelIds', ids='kitti'))
