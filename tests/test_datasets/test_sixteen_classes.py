# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The protocol in which only the 16 classes of SYNTHIA exist, by config."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.datasets import CityscapesDataset
from mmseg.registry import DATASETS

from mmseg_cag.datasets.published import CITYSCAPES_IDS, SYNTHIA_IDS
from tests import tiny

ROOT = Path(__file__).parents[2]
METHODS = ['cag', 'proda', 'source_only']
NAMES = CityscapesDataset.METAINFO['classes']
# By trainId: the rows that published evaluations select.
SIXTEEN = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18]
THIRTEEN = [0, 1, 2, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18]
IDS = np.arange(35, dtype=np.uint8).reshape(5, 7)  # all of Cityscapes


def config(name: str) -> Config:
    return Config.fromfile(ROOT / f'configs/{name}.py')


def labels_of(cfg: dict, root: Path) -> np.ndarray:
    plain = ('LoadImageFromFile', 'LoadLabelIds', 'PackSegInputs')
    steps = [step for step in cfg['pipeline'] if step['type'] in plain]
    dataset = DATASETS.build(
        {**cfg, 'data_root': str(root), 'pipeline': steps}
    )
    assert list(dataset.metainfo['classes']) == [NAMES[k] for k in SIXTEEN]
    [sample] = dataset
    return sample['data_samples'].gt_sem_seg.data[0].numpy()


def expected(ids: np.ndarray, table: dict[int, int]) -> np.ndarray:
    out = np.empty(ids.shape, np.uint8)
    for index, value in np.ndenumerate(ids):
        train_id = table.get(int(value))
        known = train_id in SIXTEEN
        out[index] = SIXTEEN.index(train_id) if known else tiny.VOID
    return out


def test_the_sets_are_the_published_ones():
    evaluator = config('cag/deeplabv2_synthia2cs').val_evaluator
    assert evaluator.type == 'UDAIoUMetric'
    assert evaluator.class_sets.mIoU16 == [NAMES[k] for k in SIXTEEN]
    assert evaluator.class_sets.mIoU13 == [NAMES[k] for k in THIRTEEN]


@pytest.mark.parametrize('method', METHODS)
def test_source_labels(tmp_path, method):
    cfg = config(f'{method}/deeplabv2_synthia2cs_16')
    if method != 'source_only':
        sources = [
            cfg.train_dataloader.dataset.domains.source,
            cfg.anchor_dataloader.dataset,
        ]
    else:
        sources = [
            cfg.train_dataloader.dataset,
            cfg.anchor_dataloader.dataset,
        ]
    image = np.zeros((*IDS.shape, 3), np.uint8)
    tiny.save_image(tmp_path / 'RGB/0.png', image)
    ids = IDS % 23  # all of SYNTHIA
    tiny.save_red16(tmp_path / 'GT/LABELS/0.png', ids, ids)
    for source in sources:
        labels = labels_of(source, tmp_path)
        assert np.array_equal(labels, expected(ids, SYNTHIA_IDS))
    assert set(labels.ravel()) == {*range(16), tiny.VOID}


@pytest.mark.parametrize('method', METHODS)
def test_target_labels_and_outputs(tmp_path, method):
    cfg = config(f'{method}/deeplabv2_synthia2cs_16')
    assert cfg.model.decode_head.num_classes == 16
    stem = 'bern/bern_0_0'
    image = np.zeros((*IDS.shape, 3), np.uint8)
    left = tmp_path / 'leftImg8bit/val'
    tiny.save_image(left / f'{stem}_leftImg8bit.png', image)
    fine = tmp_path / 'gtFine/val'
    tiny.save_image(fine / f'{stem}_gtFine_labelIds.png', IDS)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        labels = labels_of(loader.dataset, tmp_path)
        assert np.array_equal(labels, expected(IDS, CITYSCAPES_IDS))


@pytest.mark.parametrize('method', METHODS[:2])
def test_the_target_of_adaptation_has_the_same_classes(method):
    cfg = config(f'{method}/deeplabv2_synthia2cs_16')
    dataset = cfg.train_dataloader.dataset
    assert dataset.domains.target.metainfo == dataset.domains.source.metainfo


@pytest.mark.parametrize('method', METHODS[:2])
def test_the_warm_up_has_the_same_classes(method):
    start = config(f'{method}/deeplabv2_synthia2cs_16').start_from
    warm_up = Config.fromfile(start)
    assert warm_up.model.decode_head.num_classes == len(SIXTEEN)
