# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_cag.datasets.published import CITYSCAPES_IDS, SYNTHIA_IDS
from mmseg_cag.minitown.classes import CLASSES, Label
from mmseg_cag.minitown.render import render
from mmseg_cag.minitown.sheet import contact_sheet
from mmseg_cag.minitown.styles import CAMERA, GAME, RENDERED
from mmseg_cag.minitown.town import draw_minitown

SMALL = dict(size=(64, 128), source=3, target=4, val=2, synthia=2)


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file() and path.name != 'minitown.json'
    }


@pytest.fixture(scope='module')
def town(tmp_path_factory):
    root = tmp_path_factory.mktemp('minitown')
    assert draw_minitown(root, **SMALL, workers=1)
    return root


def test_the_same_seed_gives_the_same_bytes_for_any_worker_count(
    town, tmp_path
):
    draw_minitown(tmp_path, **SMALL, workers=3)
    assert files(tmp_path) == files(town)


def test_a_picture_does_not_depend_on_how_many_are_drawn(town, tmp_path):
    fewer = {**SMALL, 'source': 1, 'target': 2, 'val': 1, 'synthia': 1}
    draw_minitown(tmp_path, **fewer, workers=1)
    drawn = files(tmp_path)
    assert len(drawn) == 10
    assert drawn.items() <= files(town).items()


def test_another_seed_gives_other_streets(town, tmp_path):
    draw_minitown(tmp_path, **SMALL, seed=1, workers=1)
    first, second = files(town), files(tmp_path)
    assert first.keys() == second.keys()
    assert not any(first[name] == second[name] for name in first)


def test_the_splits_show_different_streets(town):
    images = [d for name, d in files(town).items() if 'label' not in name]
    assert len(set(images)) == len(images)


def test_the_source_has_the_form_of_gta5(town):
    assert len(list((town / 'gta/images').iterdir())) == SMALL['source']
    with Image.open(town / 'gta/images/00001.png') as image:
        assert (image.mode, image.size) == ('RGB', (128, 64))
    with Image.open(town / 'gta/labels/00001.png') as label:
        assert (label.mode, label.size) == ('P', (128, 64))
        ids = np.unique(np.asarray(label))
        road = label.getpalette()[3 * 7 : 3 * 8]
    assert set(ids) <= set(CITYSCAPES_IDS)
    assert 7 in ids
    assert road == [128, 64, 128]


@pytest.mark.parametrize('split', ['train', 'val'])
def test_the_target_has_the_form_of_cityscapes(town, split):
    base = town / 'cityscapes'
    images = sorted(base.glob(f'leftImg8bit/{split}/*/*_leftImg8bit.png'))
    assert len(images) == SMALL['target' if split == 'train' else 'val']
    for image in images:
        city = image.parent.name
        assert image.name.startswith(f'{city}_')
        assert image.name.endswith('_000019_leftImg8bit.png')
        stem = image.name.replace('leftImg8bit', 'gtFine_labelIds')
        with Image.open(base / 'gtFine' / split / city / stem) as label:
            assert (label.mode, label.size) == ('L', (128, 64))
            ids = set(np.unique(np.asarray(label)).tolist())
        assert ids <= {1, *CITYSCAPES_IDS}
        assert {7, 11} <= ids


def test_the_third_town_has_the_form_of_synthia(town):
    image = cv2.imread(str(town / 'synthia/RGB/0000000.png'))
    path = town / 'synthia/GT/LABELS/0000000.png'
    label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert (label.dtype, label.shape) == (np.uint16, image.shape)
    blue, green, red = np.moveaxis(label, -1, 0)
    assert set(np.unique(red)) <= {0, *SYNTHIA_IDS}
    assert not blue.any()
    things = [i for i, train in SYNTHIA_IDS.items() if train >= Label.PERSON]
    assert np.array_equal(green > 0, np.isin(red, things))


@pytest.mark.long
def test_every_town_shows_all_classes_as_unevenly_as_a_street():
    for stream, style in enumerate((GAME, CAMERA, RENDERED)):
        counts = np.zeros((32, 256), np.int64)
        for index in range(len(counts)):
            rng = np.random.default_rng((stream, index))
            _, label = render(style, (64, 128), rng)
            counts[index] = np.bincount(label.ravel(), minlength=256)
        shares = counts.sum(0)[: len(CLASSES)] / counts.sum()
        present = (counts[:, : len(CLASSES)] > 4).mean(0)
        assert (present > 0.04).all(), present
        assert shares[Label.ROAD] + shares[Label.BUILDING] > 0.4
        for rare in (Label.RIDER, Label.MOTORCYCLE, Label.LIGHT):
            assert 0 < shares[rare] < 0.02
        assert present[Label.TRAIN] < 0.5 < present[Label.CAR]


def test_a_rider_sits_on_two_wheels():
    wheels = (Label.BICYCLE, Label.MOTORCYCLE)
    alone = together = 0
    for index in range(30):
        rng = np.random.default_rng((7, index))
        _, label = render(GAME, (128, 256), rng)
        rider = (label == Label.RIDER).astype(np.uint8)
        if rider.sum() < 20:
            continue
        around = cv2.dilate(rider, np.ones((5, 5), np.uint8)) > 0
        if np.isin(label[around], wheels).any():
            together += 1
        else:
            alone += 1
    assert together > 3 * alone


@pytest.mark.parametrize('size', [(64, 128), (96, 160), (256, 512)])
def test_any_size_shows_the_same_street(size):
    images = []
    for shape in (size, (128, 256)):
        image, label = render(GAME, shape, np.random.default_rng(5))
        assert image.shape == (*shape, 3)
        assert (image.dtype, label.dtype) == (np.uint8, np.uint8)
        assert label.shape == shape
        shares = np.bincount(label.ravel(), minlength=256) / label.size
        images.append(shares)
    if size[1] == 2 * size[0]:
        assert np.abs(images[0] - images[1]).max() < 0.02


def test_the_manifest_records_arguments_and_shares(town):
    manifest = json.loads((town / 'minitown.json').read_text())
    assert manifest['arguments']['size'] == [64, 128]
    assert manifest['arguments']['seed'] == 0
    labels = (town / 'gta/labels').iterdir()
    ids = np.stack([np.asarray(Image.open(path)) for path in labels])
    shares = manifest['pixel_shares']['source']
    assert shares['road'] == pytest.approx((ids == 7).mean(), abs=1e-5)
    for town_shares in manifest['pixel_shares'].values():
        assert sum(town_shares.values()) == pytest.approx(1, abs=1e-4)


def test_a_complete_town_is_not_drawn_again(town):
    path = town / 'gta/images/00001.png'
    before = path.stat().st_mtime_ns
    assert not draw_minitown(town, **SMALL)
    assert path.stat().st_mtime_ns == before


def test_other_arguments_are_refused_and_overwritten_on_request(tmp_path):
    draw_minitown(tmp_path, **SMALL, workers=1)
    guest = tmp_path / 'cityscapes/leftImg8bit/readme.txt'
    guest.write_text('mine')
    fewer = {**SMALL, 'source': 1}
    with pytest.raises(ValueError, match=r'source 3 instead of 1') as error:
        draw_minitown(tmp_path, **fewer)
    assert str(tmp_path) in str(error.value)
    assert draw_minitown(tmp_path, **fewer, overwrite=True, workers=1)
    assert len(list((tmp_path / 'gta/images').iterdir())) == 1
    assert guest.read_text() == 'mine'


def test_an_unfinished_drawing_is_taken_up_again(town, tmp_path):
    draw_minitown(tmp_path, **SMALL, workers=1)
    complete = files(tmp_path)
    manifest = tmp_path / 'minitown.json'
    manifest.rename(tmp_path / 'minitown.unfinished.json')
    (tmp_path / 'gta/images/00002.png').unlink()
    assert draw_minitown(tmp_path, **SMALL, workers=1)
    assert files(tmp_path) == complete == files(town)


def test_a_real_data_set_is_never_touched(tmp_path):
    image = tmp_path / 'gta/images/00001.png'
    image.parent.mkdir(parents=True)
    image.write_bytes(b'real')
    for overwrite in (False, True):
        with pytest.raises(ValueError, match='a folder with other data'):
            draw_minitown(tmp_path, **SMALL, overwrite=overwrite)
    assert image.read_bytes() == b'real'


def test_the_contact_sheet_shows_the_three_towns(town):
    sheet = contact_sheet(town, rows=3)
    assert sheet.shape == (3 * 64, 6 * 128, 3)
