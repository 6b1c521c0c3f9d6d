# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from mmseg_cag.errors import UserError, escape_control_chars


@pytest.mark.parametrize(
    ('name', 'shown'),
    [
        ('Straße 1/日本.png', 'Straße 1/日本.png'),
        ('a\nerror: b', r'a\nerror: b'),
        ('\x1b[2Ja\r\x07', r'\x1b[2Ja\r\x07'),
        ('\u202egnp.a', r'\u202egnp.a'),  # turns the direction of writing
        (b'\xff.png'.decode(errors='surrogateescape'), r'\udcff.png'),
    ],
)
def test_names_stay_on_their_line(name, shown):
    assert escape_control_chars(name) == shown
    assert str(UserError(f'{name}: no image')) == f'{shown}: no image'
    escape_control_chars(name).encode()
