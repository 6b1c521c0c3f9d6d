# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The quickstart in miniature, as a user starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]


def run(folder: Path) -> str:
    command = [sys.executable, 'tools/quickstart.py', '--seed', '3']
    sizes = ['--images', '8', '8', '4', '2', '--size', '64', '128']
    iters = ['--supervised-iters', '2', '--stage-iters', '2']
    places = ['--data', folder / 'towns', '--work-dir', folder / 'runs']
    done = subprocess.run(
        [*command, *sizes, *iters, *places],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_quickstart_and_its_second_call(tmp_path: Path) -> None:
    first = run(tmp_path)
    summary = json.loads((tmp_path / 'runs/summary.json').read_text())
    assert summary['seed'] == 3
    scores = ['source_only', 'cag_stage1', 'cag_stage2', 'cag_stage3']
    assert all(0 <= summary[name] <= 100 for name in scores)
    assert {'towns', 'source_only', 'cag'} <= summary['seconds'].keys()
    picture = tmp_path / 'runs/comparison.png'
    with Image.open(picture) as image:
        assert min(image.size) > 200
    report = tmp_path / 'runs/report.html'
    assert first.splitlines()[-1] == f'Report: {report}'
    assert 'mIoU of stage 3' in report.read_text()
    assert str(picture) in first and 'cag_stage3' in first

    weights = tmp_path / 'runs/cag/iter_6.pth'
    written = weights.stat().st_mtime_ns
    second = run(tmp_path)
    assert second.count('reused') == 4
    assert weights.stat().st_mtime_ns == written
    again = json.loads((tmp_path / 'runs/summary.json').read_text())
    assert [again[s] for s in scores] == [summary[s] for s in scores]
