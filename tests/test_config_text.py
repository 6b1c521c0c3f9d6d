# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
from mmengine.config import Config

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_config import parse_config

VALUES = dict(
    words="it's\n",
    number=-1.5e-3,
    flags=[True, None, (1, 2.0), []],
    nested=dict(a=dict(b=[dict(c='d')]), empty=dict()),
    mapping={'not a name': {'key': 1}, 'x.y': (dict(z=()),)},
    numbered={0: 'a', 11: 'b'},
)


def test_what_mmengine_dumps_is_read_as_it_was(formatted):
    text = Config(VALUES).pretty_text
    cfg = parse_config(text, 'x.pth')
    assert cfg.to_dict() == Config(VALUES).to_dict()
    assert cfg.nested.a.b[0].c == 'd'


@pytest.mark.parametrize('path', ['cag', 'oracle'])
def test_a_config_of_the_project_is_read_as_it_was(path, formatted):
    cfg = Config.fromfile(f'configs/minitown/{path}.py').to_dict()
    text = Config(cfg, format_python_code=False).pretty_text
    assert parse_config(text, 'x.pth').to_dict() == cfg


@pytest.mark.parametrize(
    'text',
    [
        "a = __import__('os').system('touch ran')",
        "import os\nos.system('touch ran')",
        "a = dict(b=open('ran', 'w'))",
        'a = [x for x in ().__class__.__base__.__subclasses__()]',
        "a = dict([('b', 1)])",
        "a = f'{open(chr(97))}'",
        'a.b = 1',
        'a = b = 1',
        'a += 1',
        'a = {[]: 1}',
        'a = dict(**{1: 2})',
        'a = 2 ** 99999',
        '_base_ = ' + '[' * 2000,
        'a = (',
        'filename = 1',
    ],
)
def test_anything_else_is_refused_in_one_line(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r'^x\.pth: its config is') as caught:
        parse_config(text, 'x.pth')
    assert '\n' not in str(caught.value)
    assert not list(tmp_path.iterdir())
