# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image

from tests import tiny

CLASSES = ['road', 'car', 'sky']
IDS = dict(sky=300, lorry=7, road=65535, tree=0, car=9)
SMALL = dict(sky=30, lorry=7, road=255, tree=0, car=9)
COLOURS = dict(
    sky=(70, 130, 180),
    lorry=(0, 0, 70),
    road=(128, 64, 128),
    tree=(0, 70, 0),
    car=(0, 0, 142),
)
MERGE = dict(lorry='car')


def build(ids: dict, **kwargs):
    return TRANSFORMS.build(
        dict(type='LoadLabelsByName', classes=CLASSES, ids=ids, **kwargs)
    )


def load(step, path) -> np.ndarray:
    sample = step(dict(seg_map_path=str(path), label_map=None, seg_fields=[]))
    assert sample['seg_fields'] == ['gt_seg_map']
    assert sample['gt_seg_map'].dtype == np.uint8
    return sample['gt_seg_map']


def drawn() -> np.ndarray:
    """Draw class names at random (H, W)."""
    return np.random.default_rng(0).choice(list(IDS), (6, 9))


def expected(names: np.ndarray, merge: dict, ignored: int = 255):
    out = np.empty(names.shape, np.uint8)
    for index, name in np.ndenumerate(names):
        name = merge.get(name, name)
        out[index] = CLASSES.index(name) if name in CLASSES else ignored
    return out


def paint(names: np.ndarray, ids: dict, dtype: type) -> np.ndarray:
    return np.array([[ids[name] for name in row] for row in names], dtype)


def write_grey8(path):
    tiny.save_image(path, paint(drawn(), SMALL, np.uint8))
    return SMALL


def write_palette(path):
    tiny.save_palette(path, paint(drawn(), SMALL, np.uint8))
    return SMALL


def write_grey16(path):
    cv2.imwrite(str(path), paint(drawn(), IDS, np.uint16))
    return IDS


def write_colour(path):
    tiny.save_image(path, paint(drawn(), COLOURS, np.uint8))
    return COLOURS


def write_colour_palette(path):
    Image.fromarray(paint(drawn(), COLOURS, np.uint8)).quantize(
        colors=8, dither=Image.Dither.NONE
    ).save(path)
    return COLOURS


FORMS = [
    write_grey8,
    write_palette,
    write_grey16,
    write_colour,
    write_colour_palette,
]


@pytest.mark.parametrize('merge', [{}, MERGE])
@pytest.mark.parametrize('write', FORMS)
def test_every_pixel_has_the_class_of_its_name(tmp_path, write, merge):
    ids = write(tmp_path / 'l.png')
    labels = load(build(ids, merge=merge), tmp_path / 'l.png')
    assert np.array_equal(labels, expected(drawn(), merge))


@pytest.mark.parametrize('write', FORMS)
def test_raw_ids_and_what_becomes_of_them(tmp_path, write):
    """The interface of label-loading steps."""
    step = build(write(tmp_path / 'l.png'), merge=MERGE)
    ids = step.read_ids(str(tmp_path / 'l.png'))
    assert ids.shape == drawn().shape and ids.dtype.kind == 'u'
    assert not step.train_ids.keys() & step.void_ids
    for index, name in np.ndenumerate(drawn()):
        known = step.train_ids.get(int(ids[index]), 255)
        assert known == expected(drawn(), MERGE)[index]
        assert (int(ids[index]) in step.void_ids) == (name == 'tree')


def test_an_undeclared_id_stops_the_run(tmp_path):
    path = tmp_path / 'l.png'
    ids = write_grey16(path)
    without = {n: i for n, i in ids.items() if n not in ('tree', 'lorry')}
    message = f'^{re.escape(str(path))}: found id 0, 7, expected'
    with pytest.raises(ValueError, match=message):
        load(build(without), path)
    labels = load(build(without, void_ids=[7, 0, 1]), path)
    assert np.array_equal(labels, expected(drawn(), {}))
    step = build(without, void_ids='others')
    assert np.array_equal(load(step, path), labels)
    assert len(step.void_ids) == 2**16 - len(without)


def test_an_undeclared_colour_stops_the_run(tmp_path):
    path = tmp_path / 'l.png'
    without = {**write_colour(path)}
    tree = without.pop('tree')
    with pytest.raises(ValueError, match=r'found colour \(0, 70, 0\), exp'):
        load(build(without), path)
    labels = load(build(without, void_ids=[tree]), path)
    assert np.array_equal(labels, expected(drawn(), {}))


def test_another_ignore_index(tmp_path):
    ids = write_grey8(tmp_path / 'l.png')
    labels = load(build(ids, ignore_index=250), tmp_path / 'l.png')
    assert np.array_equal(labels, expected(drawn(), {}, 250))


def test_150_classes(tmp_path):
    ids = {f'class {i}': 1000 - i for i in range(150)}
    cv2.imwrite(
        str(tmp_path / 'l.png'),
        np.arange(851, 1001, dtype=np.uint16).reshape(10, 15),
    )
    step = dict(type='LoadLabelsByName', classes=list(ids), ids=ids)
    labels = load(TRANSFORMS.build(step), tmp_path / 'l.png')
    assert labels.ravel().tolist() == list(range(149, -1, -1))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(ids={**IDS, 'car': 2**16}), 'car=65536: expected an id in'),
        (dict(ids={**IDS, 'car': -1}), 'car=-1: expected an id in'),
        (dict(ids={**IDS, 'car': (1, 2, 3)}), 'sky=300: expected a colour'),
        (dict(ids={**COLOURS, 'car': (1, 2)}), r'car=\(1, 2\): expected a c'),
        (dict(ids={**COLOURS, 'car': (1, 2, 256)}), 'car=.*in 0..255'),
        (dict(ids={**IDS, 'car': 7}), "'car' and 'lorry' both have id 7"),
        (dict(void_ids=[9]), "void_ids: id 9 is also 'car' in ids"),
        (dict(void_ids=[2**16]), 'void_ids=65536: expected an id'),
        (dict(void_ids='rest'), "void_ids='rest': expected a list"),
        (dict(ids=COLOURS, void_ids='others'), 'if the files hold ids'),
        (dict(classes=['car']), '1 classes .* expected 2 classes or more'),
        (dict(ignore_index=2), '3 classes with ignore_index=2, expected'),
        (dict(ignore_index=256), '3 classes with ignore_index=256, exp'),
        (dict(classes=[*CLASSES, 'bus']), "'bus' is not a class of the files"),
    ],
)
def test_settings_that_cannot_be(change, message):
    good = dict(type='LoadLabelsByName', classes=CLASSES, ids=IDS)
    with pytest.raises(ValueError, match=message) as caught:
        TRANSFORMS.build({**good, **change})
    assert '\n' not in str(caught.value)


def cut(path):
    noise = np.random.default_rng(0).integers(0, 200, (64, 64, 3))
    tiny.save_image(path, noise.astype(np.uint8))
    path.write_bytes(path.read_bytes()[:5000])


def flip(path):
    """Change one bit, which decodes to other ids."""
    ids = np.zeros((64, 64), np.uint8)
    cv2.imwrite(str(path), ids, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    content = bytearray(path.read_bytes())
    content[2000] ^= 7
    path.write_bytes(content)


def deep(path):
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint16))


UNREADABLE = [
    (IDS, lambda path: None, 'No such file'),
    (IDS, lambda path: path.write_bytes(b''), 'cannot identify'),
    (IDS, lambda path: Image.new('RGB', (8, 4)).save(path), 'mode RGB'),
    (IDS, lambda path: Image.new('1', (8, 4)).save(path), 'mode 1'),
    (COLOURS, lambda path: path.write_bytes(b''), 'cannot decode'),
    (COLOURS, lambda path: path.write_bytes(b'text'), 'cannot decode'),
    (COLOURS, cut, 'a damaged PNG'),
    (COLOURS, flip, 'a damaged PNG'),
    (SMALL, flip, 'a damaged PNG'),
    (COLOURS, deep, 'expected colours of 8 bits, found uint16'),
]


@pytest.mark.parametrize(('ids', 'write', 'message'), UNREADABLE)
def test_a_file_that_is_no_label_map(tmp_path, ids, write, message):
    path = tmp_path / 'l.png'
    write(path)
    with pytest.raises(ValueError, match=message) as caught:
        load(build(ids), path)
    assert str(caught.value).startswith(f'{path}: cannot be read')
    assert '\n' not in str(caught.value)


def test_ids_beyond_16_bits(tmp_path):
    path = tmp_path / 'l.tiff'
    Image.fromarray(np.full((4, 4), 2**16 + 9, np.int32)).save(path)
    with pytest.raises(ValueError, match='expected ids below 65536'):
        load(build(IDS), path)


def folders(root, **kwargs) -> dict:
    return dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        metainfo=dict(classes=CLASSES),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadLabelsByName', classes=CLASSES, ids=SMALL),
            dict(type='PackSegInputs'),
        ],
        **kwargs,
    )


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.jpeg'])
@pytest.mark.parametrize('inner', ['', 'day/3'])
def test_two_folders_are_a_data_set(tmp_path, suffix, inner):
    for name in 'ab':
        image = np.zeros((6, 9, 3), np.uint8)
        tiny.save_image(tmp_path / 'images' / inner / (name + suffix), image)
        label = tmp_path / 'labels' / inner / f'{name}.png'
        label.parent.mkdir(parents=True, exist_ok=True)
        write_grey8(label)
    dataset = DATASETS.build(folders(tmp_path, img_suffix=suffix))
    assert len(dataset) == 2
    for sample in dataset:
        labels = sample['data_samples'].gt_sem_seg.data[0].numpy()
        assert np.array_equal(labels, expected(drawn(), {}))
    palette = dataset.metainfo['palette']
    assert len({tuple(colour) for colour in palette}) == len(CLASSES)


@pytest.mark.parametrize('count', [2, 19, 150])
def test_classes_without_a_palette_get_one_of_distinct_colours(count):
    dataset = DATASETS.build(
        dict(
            type='BaseSegDataset',
            metainfo=dict(classes=[str(i) for i in range(count)]),
            lazy_init=True,
        )
    )
    colours = {tuple(colour) for colour in dataset.metainfo['palette']}
    assert len(colours) == count


def test_a_data_set_that_maps_by_itself_is_refused(tmp_path):
    tiny.write_gta(tmp_path, 1)
    cfg = folders(tmp_path, img_suffix='.png')
    cfg['type'] = 'GTADataset'
    cfg['metainfo'] = dict(classes=['road', 'sky'])
    with pytest.raises(ValueError, match='expected type=BaseSegDataset'):
        DATASETS.build(cfg)[0]
