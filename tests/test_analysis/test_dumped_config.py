# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from mmseg_cag.analysis.runs.run import read_dumped_config
from mmseg_cag.errors import MissingFileError, UserError


def test_plain_data_is_read(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(
        "model = dict(type='A', parts=[dict(type='B', n=(1, 2))])\n"
        "custom_imports = dict(imports=['mmseg_cag'])\n"
    )
    cfg = read_dumped_config(path)
    assert cfg.model.parts[0].n == (1, 2)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ("import os\nos.system('touch ran')", 'is not plain data'),
        ("a = [dict(type='os.system', command='touch ran')]", 'registered'),
        ("custom_imports = dict(imports=['no_such_module'])", 'imported'),
        ('custom_imports = dict(no=1)', 'imported'),
        ('custom_imports = 1', 'imported'),
        ('train_cfg = [6]', 'train_cfg is no dict'),
        ('val_dataloader = dict(workers=1)', 'val_dataloader has no data set'),
        ("test_dataloader = dict(dataset='x')", 'test_dataloader has no data'),
        ('train_dataloader = dict(dataset=dict(type=1))', 'has no data set'),
        (None, 'not found'),
    ],
)
def test_anything_else_is_refused(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'config.py'
    if text:
        path.write_text(text)
    kind = UserError if text else MissingFileError
    with pytest.raises(kind, match=message) as caught:
        read_dumped_config(path)
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'ran').exists()
