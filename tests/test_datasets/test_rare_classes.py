# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
from mmengine.dataset import ConcatDataset
from mmengine.fileio import io
from mmseg.registry import DATA_SAMPLERS, DATASETS, TRANSFORMS

from mmseg_cag.datasets import rare_classes
from mmseg_cag.datasets.rare_classes import (
    ClassPixels,
    RareClassOrder,
    class_pixels,
    class_probability,
    eligible_images,
)
from mmseg_cag.datasets.wanted import wanted_class, wanting
from mmseg_cag.errors import UserError
from tests import release, tiny
from tests.golden import golden_file

CLASSES = {'road': 0, 'building': 2, 'sky': 10, 'car': 13}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def source(tmp_path):
    truth = tiny.write_gta(tmp_path / 'gta')
    return DATASETS.build(tiny.gta(tmp_path)), truth


@pytest.mark.parametrize('temperature', [0.01, 0.05, 1, np.inf])
def test_probabilities_are_those_of_the_release(temperature):
    case = release.read('rcs')
    counts = case['counts'].numpy().sum(0)
    classes = case['classes'].numpy()
    order = [c for c in counts.argsort(kind='stable') if counts[c]]
    assert order == classes.tolist()
    probability = class_probability(counts, temperature)
    expected = case[f'probability_T{temperature}'].numpy()
    np.testing.assert_allclose(probability[classes], expected, atol=1e-6)
    assert probability.sum() == pytest.approx(1)
    assert (probability[counts == 0] == 0).all()


def test_a_low_temperature_draws_the_rarest_class():
    """Even where an absent class, or one without an image, is far rarer."""
    counts = np.array([0, 40, 60, 1000])
    expected = [0, 1, 0, 0]
    assert class_probability(counts, 1e-6).tolist() == expected
    drawable = np.array([False, False, True, True])
    found = class_probability(counts, 1e-6, drawable)
    assert found.tolist() == [0, 0, 1, 0]


def test_a_low_temperature_without_an_image_of_the_rarest_class(source):
    """Compared with it, all other classes would have a weight of 0."""
    dataset, _ = source
    counts = class_pixels(dataset, None).counts.sum(0)
    rarest = order(dataset, temperature=1e-6).probability.argmax()
    assert counts[rarest] == counts[counts > 0].min()
    common = dataset.metainfo['classes'][counts.argmax()]
    sampler = order(dataset, classes=[common], temperature=1e-6)
    assert sampler.probability[counts.argmax()] == 1


@pytest.mark.parametrize('size', [512 * 1024, 1914 * 1052, 1914 * 1051])
def test_images_that_have_enough_are_those_of_the_release(size):
    case = release.read('rcs')
    pixels = ClassPixels(case['counts'].numpy(), np.full(12, size))
    expected = case['eligible'].numpy()
    assert (eligible_images(pixels, 3000 / size) == expected).all()


def test_crops_that_are_kept_are_those_of_the_release():
    case = release.read('rcs')
    step = TRANSFORMS.build(dict(type='RedrawCrop', transforms=[]))
    for counts, used, loads in zip(
        case['crop_counts'].tolist(),
        case['crop_used'].tolist(),
        case['crop_loads'].tolist(),
        strict=True,
    ):
        made = []

        def crop(results, counts=counts, made=made):
            labels = np.zeros((512, 512), np.uint8)
            labels.flat[: counts[len(made)]] = 7
            made.append(labels)
            return dict(results, gt_seg_map=labels, number=len(made) - 1)

        step.transforms = crop
        with wanting(7):
            kept = step(dict(img=np.zeros((2, 2, 3))))
        assert (kept['number'], len(made)) == (used, loads)
        made.clear()
        assert step({})['number'] == 0 and len(made) == 1


def test_probabilities_are_those_of_vfm_uda():
    golden = np.load(golden_file('foundation/vfmuda_small.npz'))
    counts = golden['rcs/pixels_of_class']
    found = class_probability(counts, float(golden['rcs/temperature']))
    expected = golden['rcs/probability']
    np.testing.assert_allclose(
        found[golden['rcs/classes']], expected, rtol=1e-4
    )


def test_a_crop_of_one_class_is_drawn_again_where_that_is_asked_for():
    maps = [np.full((4, 4), 7), np.full((4, 4), 7), np.full((4, 4), 7)]
    maps[1][0, :3] = 2  # 13 of 16 are of the wanted class
    maps[2][:2] = 2
    for most, expected in ((1.0, 0), (0.9, 1), (0.75, 2)):
        made = iter(maps)
        step = TRANSFORMS.build(
            dict(type='RedrawCrop', transforms=[], cat_max_ratio=most)
        )
        step.transforms = lambda _, made=made: dict(gt_seg_map=next(made))
        with wanting(7):
            assert step({})['gt_seg_map'] is maps[expected]


def test_the_index_counts_what_the_labels_hold(source, capsys):
    dataset, truth = source
    pixels = class_pixels(dataset, None)
    for counts, labels in zip(pixels.counts, truth, strict=True):
        expected = np.bincount(labels[labels != 255], minlength=19)
        assert counts.tolist() == expected.tolist()
    assert (pixels.sizes == truth[0].size).all()
    assert 'Counting pixels of classes: 7 of 7' in capsys.readouterr().out
    again = class_pixels(dataset, None)
    assert 'Counting' not in capsys.readouterr().out
    assert (again.counts == pixels.counts).all()
    assert (again.sizes == pixels.sizes).all()


def order(dataset, **kwargs) -> RareClassOrder:
    return DATA_SAMPLERS.build(
        {'type': 'RareClassOrder', 'dataset': dataset, 'seed': 3, **kwargs}
    )


def test_a_draw_is_a_function_of_seed_and_position(source):
    dataset, _ = source
    one, two, other = order(dataset), order(dataset), order(dataset, seed=4)
    drawn = [one[position] for position in range(50)]
    assert drawn == [two[position] for position in range(50)]
    assert [two[position] for position in (40, 3)] == [drawn[40], drawn[3]]
    assert drawn != [other[position] for position in range(50)]


def test_images_are_drawn_as_often_as_the_paper_says(source):
    dataset, _ = source
    sampler = order(dataset, temperature=0.5, min_share=0.2)
    pixels = class_pixels(dataset, None)
    share = pixels.counts / pixels.sizes[:, None]
    drawn = [sampler[position] for position in range(4000)]
    assert all(share[entry] > 0.2 for entry in drawn)
    totals = pixels.counts.sum(0)
    rarity = np.exp((1 - totals / totals.sum()) / 0.5)
    rarity *= (share > 0.2).any(0)
    found = np.bincount([c for _, c in drawn], minlength=19) / len(drawn)
    np.testing.assert_allclose(found, rarity / rarity.sum(), atol=0.03)


def test_classes_without_an_image_are_named_once(source, monkeypatch):
    dataset, _ = source
    said = []
    monkeypatch.setattr(
        rare_classes, 'print_log', lambda text, **_: said.append(text)
    )
    sampler = order(dataset)
    [text] = said
    assert 'of sidewalk, wall,' in text and 'road' not in text
    drawn = {sampler[position].category for position in range(99)}
    assert drawn <= {*CLASSES.values()}


def test_classes_by_name(source):
    dataset, _ = source
    sampler = order(dataset, classes=['car', 'sky'], temperature=1)
    assert {sampler[i].category for i in range(40)} == {10, 13}


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(classes=['train']), "classes names 'train'.* sky, car"),
        (dict(classes=['zebra']), "classes names 'zebra'"),
        (dict(temperature=0), 'temperature=0'),
        (dict(min_share=1.5), 'min_share=1.5, .* 0 to 1'),
        (dict(min_share=-0.1), 'min_share=-0.1'),
        (dict(min_share=0.99), 'expected a smaller share'),
    ],
)
def test_bad_settings_are_one_line(source, changes, words):
    with pytest.raises(UserError, match=words) as caught:
        order(source[0], **changes)
    assert '\n' not in str(caught.value)


def test_an_index_of_other_data_is_refused(source, tmp_path):
    dataset, _ = source
    file = tmp_path / 'index.json'
    order(dataset, index=str(file))
    order(dataset, index=str(file))
    tiny.write_gta(tmp_path / 'other' / 'gta', 5)
    other = DATASETS.build(tiny.gta(tmp_path / 'other'))
    with pytest.raises(
        UserError, match=r'RareClassOrder: index=.*json is of other'
    ):
        order(other, index=str(file))
    file.write_text('{"data": 3')
    with pytest.raises(UserError, match=r'index\.json: '):
        order(dataset, index=str(file))
    file.unlink()
    order(dataset, index=str(file))
    for counts in ([[1, 2, 3]], [['car']], None):
        note = json.loads(file.read_text())
        file.write_text(json.dumps(dict(note, counts=counts)))
        with pytest.raises(UserError, match=r'index=.*json is damaged'):
            order(dataset, index=str(file))


def test_other_classes_are_other_data(source, tmp_path):
    dataset, _ = source
    file = str(tmp_path / 'index.json')
    order(dataset, index=file)
    classes = ['road', 'sky']
    fewer = dict(tiny.gta(tmp_path), metainfo=dict(classes=classes))
    with pytest.raises(UserError, match='RareClassOrder: index=.*other data'):
        order(DATASETS.build(fewer), index=file)
    pixels = class_pixels(DATASETS.build(fewer), None)
    both = class_pixels(dataset, None).counts[:, [0, 10]]
    assert (pixels.counts == both).all()


def test_several_sources(source, tmp_path):
    dataset, truth = source
    more = tiny.write_synthia(tmp_path / 'synthia')
    other = DATASETS.build(tiny.synthia(tmp_path))
    pixels = class_pixels(ConcatDataset([dataset, other]), None)
    cars = [(labels == 13).sum() for labels in [*truth, *more]]
    assert pixels.counts[:, 13].tolist() == cars


def grey(root: Path, labels: dict[str, int], **changes) -> dict:
    """Write images whose label is one class each; returns their config."""
    for folder in ('images', 'labels'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, category in labels.items():
        image = np.full((8, 8), category, np.uint8)
        for folder in ('images', 'labels'):
            # Of one size, whatever the class.
            cv2.imwrite(str(root / folder / f'{name}.bmp'), image)
    load = dict(
        type='LoadLabelsByName',
        classes=['road', 'sky', 'car'],
        ids=dict(road=0, sky=1, car=2),
    )
    return dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        img_suffix='.bmp',
        seg_map_suffix='.bmp',
        metainfo=dict(classes=['road', 'sky', 'car']),
        pipeline=[
            dict(type='LoadImageOnDemand'),
            load,
            dict(type='PackSegInputs'),
        ],
        **changes,
    )


def draws_are_right(dataset, **kwargs) -> bool:
    """Whether each drawn image has the class it is drawn for."""
    sampler = order(dataset, temperature=1, **kwargs)
    drawn = [sampler[position] for position in range(30)]
    samples = [dataset[entry.index]['data_samples'] for entry in drawn]
    return all(
        (sample.gt_sem_seg.data == entry.category).all()
        for sample, entry in zip(samples, drawn, strict=True)
    )


def test_a_list_in_another_order_is_counted_again(tmp_path):
    cfg = grey(tmp_path, dict(a=0, b=1, c=2), ann_file='list.txt')
    file = str(tmp_path / 'index.json')
    for names in ('a\nb\nc', 'c\na\nb'):
        (tmp_path / 'list.txt').write_text(names)
        assert draws_are_right(DATASETS.build(cfg), index=file)


def test_corrected_labels_are_counted_again(tmp_path, capsys):
    for seconds, labels in enumerate([dict(a=0, b=1), dict(a=1, b=0)]):
        dataset = DATASETS.build(grey(tmp_path, labels))
        for path in (tmp_path / 'labels').iterdir():
            os.utime(path, (seconds, seconds))
        assert draws_are_right(dataset)
    capsys.readouterr()
    assert draws_are_right(dataset)
    assert 'Counting' not in capsys.readouterr().out


def test_corrected_labels_in_a_zip_file_are_counted_again(
    tmp_path, monkeypatch
):
    for labels in (dict(a=0, b=1), dict(a=1, b=0)):
        monkeypatch.setattr(io, 'backend_instances', {})  # a new process
        cfg = grey(tmp_path / 'files', labels)
        with ZipFile(tmp_path / 'town.zip', 'w') as archive:
            for path in (tmp_path / 'files').rglob('*.bmp'):
                archive.write(path, path.relative_to(tmp_path / 'files'))
        cfg['data_root'] = f'zip://{tmp_path}/town.zip'
        assert draws_are_right(DATASETS.build(cfg))


def repeated(times: int, cfg: dict) -> dict:
    return dict(type='RepeatDataset', times=times, dataset=cfg)


def test_a_repeated_source_counts_as_often(tmp_path):
    parts = [
        repeated(3, grey(tmp_path / 'a', dict(a=0, b=1))),
        grey(tmp_path / 'b', dict(a=2)),
    ]
    dataset = DATASETS.build(
        repeated(2, dict(type='ConcatDataset', datasets=parts))
    )
    assert draws_are_right(dataset)
    assert order(dataset).eligible.sum(0).tolist() == [6, 6, 2]

    class Longer(type(dataset)):
        def __len__(self) -> int:
            return super().__len__() + 1

    dataset.__class__ = Longer
    with pytest.raises(UserError, match='Longer: has 15 samples of 7 images'):
        order(dataset)


def test_a_domain_without_labels_is_refused(tmp_path):
    tiny.write_towns(tmp_path)
    dataset = DATASETS.build(tiny.cityscapes(tmp_path, 'train', False))
    with pytest.raises(UserError, match='reads no labels'):
        order(dataset)


def redrawn(root: Path, skip: bool = False):
    cfg = tiny.uda(root, augment=True)
    source = cfg['domains']['source']
    load, labels, *crop, pack = source['pipeline']
    step = dict(type='RedrawCrop', transforms=crop, min_share=0.1)
    source['pipeline'] = [load, labels, step, pack]
    return DATASETS.build(dict(cfg, skip_bad_files=skip))


def sampler_of(dataset, **kwargs):
    orders = dict(source=dict(type='RareClassOrder', classes=['car']))
    return DATA_SAMPLERS.build(
        dict(
            type='UDASampler', dataset=dataset, orders=orders, seed=1, **kwargs
        )
    )


@pytest.mark.parametrize('skip', [False, True])
def test_crops_show_the_class_and_depend_on_the_key_alone(tmp_path, skip):
    tiny.write_towns(tmp_path)
    dataset = redrawn(tmp_path, skip)
    items = list(islice(sampler_of(dataset), 12))
    for item in items:
        sample, again = dataset[item], dataset[item]
        labels = sample['data_samples']['source'].gt_sem_seg.data
        assert (labels == 13).float().mean() > 0.05
        for domain in ('source', 'target'):
            assert sample['inputs'][domain].equal(again['inputs'][domain])
    assert wanted_class() is None
    later = sampler_of(dataset)
    later.skip(5)
    assert list(islice(later, 7)) == items[5:]


def test_bad_label_files_are_counted_where_training_skips_them(tmp_path):
    tiny.write_towns(tmp_path)
    file = tmp_path / 'gta' / 'labels' / '00003.png'
    file.write_bytes(b'no image')
    dataset = redrawn(tmp_path, skip=True)
    pixels = class_pixels(dataset.domains['source'], None)
    assert not pixels.counts[2].any() and pixels.counts[1].any()
    with pytest.raises(UserError, match=r'00003\.png'):
        class_pixels(redrawn(tmp_path).domains['source'], 'other.json')


def test_all_ranks_stop_where_the_index_cannot_be_read(source, monkeypatch):
    def broadcast(found):
        found[0] = UserError('index.json: damaged')

    monkeypatch.setattr(rare_classes, 'is_main_process', lambda: False)
    monkeypatch.setattr(rare_classes, 'broadcast_object_list', broadcast)
    with pytest.raises(UserError, match='damaged'):
        order(source[0])


def test_a_share_of_a_crop_is_below_one():
    with pytest.raises(UserError, match='RedrawCrop: min_share=2'):
        TRANSFORMS.build(dict(type='RedrawCrop', transforms=[], min_share=2))
