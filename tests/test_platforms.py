# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Systems other than Linux in UTF-8, as far as one can be told here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from mmengine.config import Config
from packaging.specifiers import SpecifierSet

from mmseg_cag.errors import UserError
from mmseg_cag.launch import run_lock
from mmseg_cag.launch.chain import train_chain
from mmseg_cag.stack import core_count, process_context

# Takes away what Windows lacks, then imports, writes and decodes.
SCRIPT = """
import os, signal, sys
sys.modules['fcntl'] = sys.modules['resource'] = None
for name in ('EX_TEMPFAIL', 'sched_getaffinity', 'fork', 'killpg', 'setpgid'):
    delattr(os, name)
for name in ('SIGHUP', 'SIGKILL', 'SIGCHLD'):
    delattr(signal, name)
import mmseg_cag
import mmseg_cag.launch.chain
import mmseg_cag.data_check.examine
import mmseg_cag.minitown.child
from mmseg_cag.stack import process_context
print('stra\\xdfe', process_context().get_start_method())
open(sys.argv[1], 'w').write('stra\\xdfe')
"""


@pytest.mark.long
def test_windows_and_an_ascii_locale(tmp_path):
    file = tmp_path / 'text'
    found = subprocess.run(
        [sys.executable, '-c', SCRIPT, file],
        env={**os.environ, 'LC_ALL': 'C', 'PYTHONUTF8': '0'},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr.decode()
    assert found.stdout.decode().splitlines()[-1] == 'straße spawn'
    assert file.read_bytes().decode() == 'straße'


def test_the_pinned_packages_run_on_the_python_that_is_asked_for():
    root = Path(__file__).parents[1]
    shell = (root / 'tools/environment.sh').read_text()
    [asked] = set(re.findall(r'([\d.]+) or newer', shell))
    assert f'Python {asked} or newer' in (root / 'README.md').read_text()
    assert f'({asked.replace(".", ", ")})' in shell
    pins = (root / 'constraints.txt').read_text().split()
    for name, _, version in (pin.partition('==') for pin in pins):
        try:
            found = metadata(name)
        except PackageNotFoundError:
            continue
        needed = found.get('Requires-Python')
        if needed and found['Version'] == version:
            assert asked in SpecifierSet(needed), f'{name} needs {needed}'


def test_macos_counts_its_cores(monkeypatch):
    monkeypatch.delattr(os, 'sched_getaffinity')
    assert core_count() == os.cpu_count()
    assert process_context().get_start_method() == 'fork'


def test_training_on_windows_is_refused(monkeypatch):
    monkeypatch.setattr(run_lock, 'fcntl', None)
    with pytest.raises(UserError, match=r'expected Linux or macOS'):
        train_chain(
            Config(
                dict(
                    work_dir='any',
                    model=dict(),
                    optim_wrapper=dict(),
                    train_cfg=dict(max_iters=1),
                    train_dataloader=dict(),
                )
            )
        )
