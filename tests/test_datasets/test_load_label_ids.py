# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
from mmengine import fileio
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image

from mmseg_cag.errors import UserError
from tests import tiny

TABLES = {
    'cityscapes': '7:0 8:1 11:2 12:3 13:4 17:5 19:6 20:7 21:8 22:9 23:10 '
    '24:11 25:12 26:13 27:14 28:15 31:16 32:17 33:18',
    'synthia': '3:0 4:1 2:2 21:3 5:4 7:5 15:6 9:7 6:8 16:9 1:10 10:11 17:12 '
    '8:13 18:14 19:15 20:16 12:17 11:18',
}
TABLES['gta'] = TABLES['cityscapes']
# How many ids each has, from zero on: GTA5 adds the licence plate.
KNOWN = {'cityscapes': 35, 'gta': 35, 'synthia': 23}


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


def known(ids: str) -> np.ndarray:
    """Every id of a data set (1, n)."""
    return np.arange(KNOWN[ids], dtype=np.uint8)[None]


def test_every_id_of_a_gta_palette(tmp_path):
    tiny.save_palette(tmp_path / 'l.png', known('gta'))
    labels = load(tmp_path / 'l.png', 'gta')
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, expected(known('gta'), TABLES['gta']))


def test_every_id_of_a_cityscapes_map(tmp_path):
    tiny.save_image(tmp_path / 'l.png', known('cityscapes'))
    labels = load(tmp_path / 'l.png', 'cityscapes')
    table = TABLES['cityscapes']
    assert np.array_equal(labels, expected(known('cityscapes'), table))


def save_png16(path, rgb):
    """Write a PNG of 16-bit RGB (H, W, 3) by its specification alone."""

    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return (
            struct.pack('>I', len(content))
            + kind
            + content
            + crc.to_bytes(4, 'big')
        )

    height, width, _ = rgb.shape
    header = struct.pack('>IIBBBBB', width, height, 16, 2, 0, 0, 0)
    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in rgb)
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', header)
        + chunk(b'IDAT', zlib.compress(rows))
        + chunk(b'IEND', b'')
    )


def save_by_opencv(path, rgb):
    assert cv2.imwrite(str(path), rgb[..., ::-1])


@pytest.mark.parametrize('save', [save_png16, save_by_opencv])
@pytest.mark.parametrize('imread', ['cv2', 'pillow'])
def test_synthia_reads_16_bits_of_red_alone(tmp_path, save, imread):
    ids = known('synthia')
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 2**16, (*ids.shape, 3), np.uint16)
    rgb[..., 0] = ids
    save(tmp_path / 'l.png', rgb)
    mmcv.use_backend(imread)  # mmcv's choice for images is none for ids
    try:
        labels = load(tmp_path / 'l.png', 'synthia')
    finally:
        mmcv.use_backend('cv2')
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, expected(ids, TABLES['synthia']))


@fileio.register_backend('reversed', prefixes='reversed', force=True)
class ReversedBackend(fileio.BaseStorageBackend):
    """Files whose bytes lie on the disk in reversed order."""

    def get(self, filepath):
        return Path(filepath.removeprefix('reversed://')).read_bytes()[::-1]

    def get_text(self, filepath):
        raise NotImplementedError


@pytest.mark.parametrize('ids', sorted(TABLES))
def test_any_file_backend(tmp_path, ids):
    path = tmp_path / 'l.png'
    if ids == 'synthia':
        tiny.save_red16(path, known(ids), known(ids))
    else:
        tiny.save_palette(path, known(ids))
    path.write_bytes(path.read_bytes()[::-1])
    wanted = expected(known(ids), TABLES[ids])
    assert np.array_equal(load(f'reversed://{path}', ids), wanted)
    arguments = dict(backend='reversed')
    labels = load(path, ids, backend_args=arguments)
    assert np.array_equal(labels, wanted)


def test_train_ids_are_kept(tmp_path):
    ids = np.array([[*range(19), 255]], np.uint8)
    tiny.save_image(tmp_path / 'l.png', ids)
    assert np.array_equal(load(tmp_path / 'l.png', 'trainids'), ids)
    labels = load(tmp_path / 'l.png', 'trainids', ignore_index=250)
    assert labels.tolist() == [[*range(19), 250]]


@pytest.mark.parametrize(
    ('ids', 'unknown', 'expectation'),
    [
        ('gta', 35, '0-34'),
        ('cityscapes', 255, '0-34'),  # a labelTrainIds file
        ('trainids', 19, '0-18, 255'),
        ('synthia', 23, '0-22'),
        ('synthia', 256 + 3, '0-22'),  # cut to 8 bits it would be road
    ],
)
def test_an_unknown_id_is_refused(tmp_path, ids, unknown, expectation):
    path = tmp_path / 'l.png'
    labels = np.zeros((3, 5), np.uint16)
    labels[2, 4] = unknown
    if ids == 'synthia':
        tiny.save_red16(path, labels, labels)
    else:
        tiny.save_palette(path, labels.astype(np.uint8))
    with pytest.raises(UserError) as caught:
        load(path, ids)
    assert str(caught.value) == (
        f'{path}: unknown label id(s) {unknown}, expected only {expectation}'
    )


def test_synthia_in_8_bits_is_refused(tmp_path):
    colour = np.full((4, 5, 3), 7, np.uint8)
    tiny.save_image(tmp_path / 'color.png', colour)
    tiny.save_image(tmp_path / 'grey.png', colour[..., 0])
    cv2.imwrite(str(tmp_path / 'grey16.png'), colour[..., 0].astype(np.uint16))
    for name, found in {
        'color': '8 bits and 3',
        'grey': '8 bits and 1',
        'grey16': '16 bits and 1',
    }.items():
        with pytest.raises(UserError) as caught:
            load(tmp_path / f'{name}.png', 'synthia')
        message = str(caught.value)
        assert f'{name}.png: expected the 16-bit RGB image' in message
        assert f'found {found} channel(s)' in message


def test_what_others_read_of_a_loader(tmp_path):
    for ids in TABLES:
        step = TRANSFORMS.build(dict(type='LoadLabelIds', ids=ids))
        every = set(known(ids).ravel().tolist())
        assert step.train_ids.keys() | step.void_ids == every
        assert not step.train_ids.keys() & step.void_ids
        assert sorted(step.train_ids.values()) == list(range(19))
    tiny.save_palette(tmp_path / 'l.png', known('gta'))
    step = TRANSFORMS.build(dict(type='LoadLabelIds', ids='gta'))
    assert np.array_equal(step.read_ids(str(tmp_path / 'l.png')), known('gta'))


def test_another_ignore_index(tmp_path):
    tiny.save_image(tmp_path / 'l.png', known('cityscapes'))
    labels = load(tmp_path / 'l.png', 'cityscapes', ignore_index=250)
    table = TABLES['cityscapes']
    assert np.array_equal(labels, expected(known('cityscapes'), table, 250))


@pytest.mark.parametrize('index', [18, 256, -100])
def test_an_ignore_index_is_a_free_number(index):
    with pytest.raises(ValueError, match=f'ignore_index={index}, expected an'):
        TRANSFORMS.build(
            dict(type='LoadLabelIds', ids='gta', ignore_index=index)
        )


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


def write_half(path, ids, part=0.5):
    # Noise does not compress, so that half the file is half the pixels.
    noise = np.random.default_rng(0).integers(0, 200, (64, 64))
    if ids == 'synthia':
        tiny.save_red16(path, noise, noise)
    else:
        tiny.save_palette(path, noise.astype(np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])


def write_flipped(path, ids):
    """Change one bit, which may decode to other ids."""
    write_half(path, ids, 1)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def write_header(path, ids):
    write_half(path, ids)
    path.write_bytes(path.read_bytes()[:40])


def write_none(path, ids):
    """Leave the file out."""


@pytest.mark.parametrize('ids', sorted(TABLES))
@pytest.mark.parametrize(
    'write',
    [
        write_text,
        write_nothing,
        write_half,
        write_flipped,
        write_header,
        write_none,
    ],
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
