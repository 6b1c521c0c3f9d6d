# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from mmseg_cag.monitor.record_file import RecordFile


def test_lines_are_kept_by_what_they_say(tmp_path):
    path = tmp_path / 'records.jsonl'
    file = RecordFile(path)
    assert file.read() == [] and file.keep(lambda _: True) == []
    assert not path.exists()
    records = [{'iter': i, 'x': [i, None]} for i in range(4)]
    for record in records:
        file.append(record)
    assert RecordFile(path).read() == records
    assert file.keep(lambda record: record['iter'] < 2) == records[:2]
    assert RecordFile(path).read() == records[:2]


def test_a_line_that_was_cut_off_is_dropped(tmp_path):
    path = tmp_path / 'records.jsonl'
    RecordFile(path).append({'iter': 1})
    with path.open('a') as file:
        file.write('{"iter": 2, "pre')
    assert RecordFile(path).keep(lambda _: True) == [{'iter': 1}]
    assert path.read_text() == '{"iter": 1}\n'


def test_only_valid_json_is_written(tmp_path):
    with pytest.raises(ValueError, match='JSON'):
        RecordFile(tmp_path / 'x').append({'x': float('nan')})
    assert not (tmp_path / 'x').exists()
