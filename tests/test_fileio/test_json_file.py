# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.json_file import read_json, write_json


def test_a_note_is_read_as_it_was_written(tmp_path):
    write_json(tmp_path / 'note.json', {'a': [1, None, 'ä']})
    assert read_json(tmp_path / 'note.json') == {'a': [1, None, 'ä']}
    assert [path.name for path in tmp_path.iterdir()] == ['note.json']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'{"a": ', 'not readable as JSON'),
        (b'\xff\xfe', 'not readable as JSON'),
        (b'[' * 100_000, 'not readable as JSON'),
        (b'[1]', 'holds a JSON list, expected an object'),
        (None, 'not readable as JSON'),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / 'note.json'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)
