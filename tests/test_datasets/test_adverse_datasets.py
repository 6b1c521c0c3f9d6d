# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""ACDC and Dark Zurich in their published layouts, in the dark and the fog."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.datasets import CityscapesDataset
from mmseg.registry import DATASETS

from mmseg_cag.data_check.examine import examine
from mmseg_cag.datasets.published import CITYSCAPES_IDS
from mmseg_cag.errors import UserError
from tests import tiny

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadLabelIds', ids='cityscapes'),
    dict(type='PackSegInputs'),
]
TRAIN_IDS = np.arange(8 * 16).reshape(8, 16) % 19
RAW_IDS = np.array(list(CITYSCAPES_IDS), np.uint8)[TRAIN_IDS]
REFERENCE = 'rgb_anon/fog/train_ref/GOPR1/GOPR1_frame_000009_rgb_ref_anon.png'


def write(root: Path, folder: str, frame: str, truth: bool = True) -> None:
    """Write an image, and its label with void in the first row."""
    name = f'{Path(folder).name}_frame_{frame}'
    image = np.full((8, 16, 3), int(frame), np.uint8)
    tiny.save_image(root / 'rgb_anon' / folder / f'{name}_rgb_anon.png', image)
    if not truth:
        return
    label = RAW_IDS.copy()
    label[0] = 1
    for ending in ('labelIds', 'labelTrainIds'):
        path = root / 'gt' / folder / f'{name}_gt_{ending}.png'
        tiny.save_image(path, label)


@pytest.fixture
def acdc(tmp_path: Path) -> Path:
    """Two conditions of it, below a folder that is called like a split."""
    root = tmp_path / 'train' / 'acdc'
    for condition in ('fog', 'night'):
        for split, frame in (('train', '000001'), ('val', '000002')):
            write(root, f'{condition}/{split}/GOPR1', frame)
        write(root, f'{condition}/test/GOPR1', '000003', truth=False)
    tiny.save_image(root / REFERENCE, np.zeros((8, 16, 3), np.uint8))
    return root


@pytest.fixture
def dark_zurich(tmp_path: Path) -> Path:
    root = tmp_path / 'dark_zurich'
    write(root, 'train/night/GOPR2', '000001', truth=False)
    write(root, 'val/night/GOPR3', '000002')
    return root


def acdc_config(root: Path, **changes: object) -> dict:
    prefix = dict(img_path='rgb_anon', seg_map_path='gt')
    whole = dict(data_root=str(root), data_prefix=prefix, pipeline=PIPELINE)
    return dict(type='ACDCDataset', **{**whole, **changes})


def dark_config(root: Path) -> dict:
    return dict(
        type='DarkZurichDataset',
        data_root=str(root),
        data_prefix=dict(
            img_path='rgb_anon/val/night', seg_map_path='gt/val/night'
        ),
        seg_map_suffix='_gt_labelIds.png',
        pipeline=PIPELINE,
    )


def check_sample(sample: dict, frame: int) -> None:
    assert (sample['inputs'] == frame).all()
    labels = sample['data_samples'].gt_sem_seg.data[0].numpy()
    assert (labels[0] == 255).all()
    assert np.array_equal(labels[1:], TRAIN_IDS[1:])


@pytest.mark.parametrize(('split', 'frame'), [('train', 1), ('val', 2)])
def test_a_split_of_acdc_is_read_of_all_conditions(acdc, split, frame):
    dataset = DATASETS.build(acdc_config(acdc, split=split))
    assert (
        dataset.metainfo['classes'] == (CityscapesDataset.METAINFO['classes'])
    )
    assert [
        Path(dataset[i]['data_samples'].img_path).parts[-4] for i in (0, 1)
    ] == ['fog', 'night']
    assert len(dataset) == 2
    for sample in dataset:
        check_sample(sample, frame)


def test_a_condition_of_acdc(acdc):
    prefix = dict(img_path='rgb_anon/fog', seg_map_path='gt/fog')
    config = acdc_config(acdc, split='val', data_prefix=prefix)
    [sample] = DATASETS.build(config)
    check_sample(sample, 2)


def test_all_splits_of_acdc_without_its_references(acdc):
    config = acdc_config(acdc, data_prefix=dict(img_path='rgb_anon'))
    config['pipeline'] = [PIPELINE[0], PIPELINE[2]]
    assert len(DATASETS.build(config)) == 6


def test_an_unknown_split_is_refused():
    with pytest.raises(UserError, match="ACDCDataset: split='vall', expected"):
        DATASETS.build(dict(type='ACDCDataset', split='vall'))


def test_dark_zurich_reads_raw_ids(dark_zurich):
    [sample] = DATASETS.build(dark_config(dark_zurich))
    check_sample(sample, 2)


def findings(dataset: dict) -> list[tuple[str, str]]:
    report = examine(
        Config(dict(val_dataloader=dict(dataset=dataset))), None, 1
    )
    [part] = report.parts
    return [(f.name, f.problem) for f in part.findings]


def test_the_check_finds_no_fault_in_a_published_layout(acdc, dark_zurich):
    assert findings(acdc_config(acdc, split='val')) == []
    [(name, problem)] = findings(dark_config(dark_zurich))
    assert name == 'unexpected count'
    assert problem == 'Dark Zurich has 50 images, found 1'


def test_the_check_sees_that_cityscapes_is_another(dark_zurich, tmp_path):
    config = dark_config(dark_zurich)
    config.update(type='CityscapesDataset', img_suffix='_rgb_anon.png')
    [(name, problem)] = findings(config)[:1]
    assert name == 'swapped domains'
    assert 'named like ACDC or Dark Zurich' in problem
    (tmp_path / 'city/leftImg8bit').mkdir(parents=True)
    (tmp_path / 'city/gtFine').mkdir()
    [(name, problem)] = findings(dark_config(tmp_path / 'city'))[:1]
    assert name == 'swapped domains'
    assert 'expects Dark Zurich, found the folders of Cityscapes' in problem
