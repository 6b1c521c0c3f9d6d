# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import cv2
import numpy as np
import pytest
from mmseg.registry import DATASETS

from mmseg_cag.data_check.contents import count_classes, decode_all, spread
from mmseg_cag.datasets.inspection.dataset_inputs import DatasetInput
from tests import tiny
from tests.doctor import check, gta_config


@pytest.mark.parametrize('count', [1, 7, 10, 99])
def test_a_sample_is_spread_evenly(count):
    samples = [dict(img_path=str(i)) for i in range(100)]
    drawn = [int(s['img_path']) for s in spread(samples, count, 0)]
    assert len(drawn) == count and drawn == sorted(set(drawn))
    assert np.diff([-1, *drawn, 100]).max() <= 2 * -(-100 // count)
    again = [int(s['img_path']) for s in spread(samples, count, 0)]
    assert drawn == again
    assert count == 99 or drawn != [
        int(s['img_path']) for s in spread(samples, count, 1)
    ]


@pytest.mark.parametrize('count', [None, 100, 101])
def test_everything_is_drawn(count):
    samples = [dict(img_path=str(i)) for i in range(100)]
    assert spread(samples, count, 0) == samples


def test_no_sample_is_decoded_when_none_is_asked_for(town):
    report = check(gta_config(town), sample=2)
    assert [part.decoded for part in report.parts] == [2, 2, 2]


def test_ids_are_counted_before_and_after_mapping(tmp_path):
    truth = tiny.write_gta(tmp_path / 'gta', 3)
    chosen = ('sky', 'road')
    cfg = {**tiny.gta(tmp_path), 'metainfo': dict(classes=chosen)}
    reading = DatasetInput('train', 'source', DATASETS.build(cfg))
    contents = decode_all(reading.samples, reading.labels, None, workers=1)
    histogram = count_classes(reading, contents)
    labels = np.stack(truth)
    for train, raw in tiny.CITYSCAPES.items():
        assert histogram.ids[raw] == (labels == train).sum()
    for index, train in enumerate((tiny.SKY, tiny.ROAD)):
        assert histogram.pixels[index] == (labels == train).sum()
        assert histogram.images[index] == 3
    assert set(histogram.pixels) == {0, 1}


def test_workers_do_not_change_the_report(town):
    reports = [check(gta_config(town), workers=n).as_dict() for n in (1, 2)]
    assert reports[0] == reports[1]


def test_16_bit_ids_are_counted_in_full(tmp_path):
    ids = np.arange(32 * 64, dtype=np.uint16).reshape(32, 64) * 32
    path = str(tmp_path / 'label.png')
    cv2.imwrite(path, ids)

    class Wide:
        train_ids, void_ids = {0: 0}, set(range(1, 2**16))

        def read_ids(self, path):
            return cv2.imread(path, cv2.IMREAD_UNCHANGED)

    sample = dict(img_path=path, seg_map_path=path)
    [content] = decode_all([sample], Wide(), None, workers=1)
    assert content.ids == {int(i): 1 for i in ids.ravel()}


def test_labels_of_the_target_stay_closed(town):
    labels = town / 'cityscapes/gtFine/train'
    for path in labels.rglob('*.png'):
        path.write_bytes(b'not to be opened')
    cfg = gta_config(town)
    target = tiny.cityscapes(town, 'train')
    target['pipeline'] = tiny.pipeline(None)
    cfg.train_dataloader.dataset.domains.target = target
    assert check(cfg).exit_code == 0
