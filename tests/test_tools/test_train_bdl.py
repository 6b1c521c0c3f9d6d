# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The command of BDL's loop: what a user reads when it is wrong."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def complaint(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    script = ROOT / 'tools' / 'train_bdl.py'
    monkeypatch.setattr(sys, 'argv', [str(script), *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(script), run_name='__main__')
    assert '\n' not in caught.value.code
    return caught.value.code


def test_what_is_wrong_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = complaint(monkeypatch, 'none.py')
    assert line == 'error: none.py: config file not found'
    config = tmp_path / 'loop.py'
    config.write_text('max_iters = 3')
    line = complaint(monkeypatch, config)
    assert line == f'error: {config}: steps is missing, expected a list'
    config.write_text("steps = [dict(name='a', train='a.py')]")
    line = complaint(monkeypatch, config)
    assert line == 'error: steps.0.train=a.py: config file not found'
    options = ('--cfg-options', 'steps.0.train=b.py', '--work-dir', 'work')
    line = complaint(monkeypatch, config, *options)
    assert line == 'error: steps.0.train=b.py: config file not found'
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.long
def test_two_processes_are_told_the_same(tmp_path):
    config = tmp_path / 'loop.py'
    config.write_text("steps = [dict(name='a', train='a.py')]")
    command = ['bash', ROOT / 'tools' / 'dist_train_bdl.sh', config, '2']
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode
    line = 'error: steps.0.train=a.py: config file not found'
    assert line in done.stderr
    assert list(tmp_path.iterdir()) == [config]
