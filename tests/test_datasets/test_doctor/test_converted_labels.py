# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Labels that the converters wrote beside those that are read."""

from __future__ import annotations

from pathlib import Path

from label_set import convert_labels
from mmengine.config import Config

from tests import tiny
from tests.doctor import check


def config(root: Path, **settings: str) -> Config:
    dataset = {**tiny.gta(root), **settings}
    return Config(dict(train_dataloader=dict(dataset=dataset)))


def test_they_are_no_extra_labels(tmp_path):
    labels = tmp_path / 'gta/labels'
    tiny.write_gta(tmp_path / 'gta', 3)
    before = check(config(tmp_path))
    convert_labels(labels, labels, 'gta', '.png', workers=1)
    assert len([*labels.iterdir()]) == 6
    after = check(config(tmp_path))
    assert after.all_findings == before.all_findings
    assert after.as_dict() == before.as_dict()
    samples = after.parts[0].reading.samples
    assert [Path(s['seg_map_path']).name for s in samples] == [
        f'0000{i}.png' for i in (1, 2, 3)
    ]


def test_an_extra_one_is_found_where_they_are_read(tmp_path):
    labels = tmp_path / 'gta/labels'
    tiny.write_gta(tmp_path / 'gta', 3)
    convert_labels(labels, labels, 'gta', '.png', workers=1)
    (tmp_path / 'gta/images/00002.png').unlink()
    report = check(config(tmp_path, seg_map_suffix='_labelTrainIds.png'))
    assert [
        Path(f.where).name
        for f in report.all_findings
        if f.name == 'label without image'
    ] == ['00002_labelTrainIds.png']
