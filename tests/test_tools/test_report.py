# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The command tools/analysis/report.py."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / 'tools/analysis/report.py'


def call(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr('sys.argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_it_says_where_the_report_is(tmp_path, monkeypatch, capsys):
    begun = tmp_path / 'run'
    begun.mkdir()
    (begun / 'config.py').write_text("model = dict(type='CAGSegmentor')\n")
    call(monkeypatch, begun)
    assert capsys.readouterr().out == f'Report: {begun}/report.html\n'
    out = tmp_path / 'new' / 'both.html'
    call(monkeypatch, begun, begun, '--out', out)
    assert 'CAGSegmentor' in out.read_text()


@pytest.mark.parametrize('made', [False, True])
def test_no_work_dir_is_one_line(made, tmp_path, monkeypatch):
    folder = tmp_path / 'none'
    if made:
        folder.mkdir()
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, folder)
    message = str(caught.value)
    assert message.startswith(f'error: {folder}') and '\n' not in message
