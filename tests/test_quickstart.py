# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The quickstart in miniature, as a user starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]


def command(folder: Path, iters: int = 2) -> list:
    command = [sys.executable, 'tools/quickstart.py', '--seed', '3']
    sizes = ['--images', '8', '8', '4', '2', '--size', '64', '128']
    iters = ['--supervised-iters', str(iters), '--adapt-iters', '2']
    places = ['--data', folder / 'towns', '--work-dir', folder / 'runs']
    return [*command, *sizes, *iters, *places]


def run(folder: Path) -> str:
    done = subprocess.run(
        command(folder),
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
    scores = ['source_only', 'anchor_teacher']
    assert all(0 <= summary[name] <= 100 for name in scores)
    assert {'towns', *scores} <= summary['seconds'].keys()
    picture = tmp_path / 'runs/comparison.png'
    with Image.open(picture) as image:
        assert min(image.size) > 200
    report = tmp_path / 'runs/report.html'
    assert first.splitlines()[-1] == f'Report: {report}'
    assert 'mIoU of last' in report.read_text()
    assert str(picture) in first and 'anchor_teacher' in first
    # In the order in which it happened: each line was written at once.
    told = ('Draw the towns: 22 of 22', '== Train source_only', 'Iter(val)')
    places = [first.index(text) for text in (*told, '== Train anchor_t')]
    assert places == sorted(places)

    weights = tmp_path / 'runs/anchor_teacher/iter_2.pth'
    written = weights.stat().st_mtime_ns
    second = run(tmp_path)
    assert second.count('reused') == 4
    assert weights.stat().st_mtime_ns == written
    again = json.loads((tmp_path / 'runs/summary.json').read_text())
    assert [again[s] for s in scores] == [summary[s] for s in scores]


def family(pid: int) -> set[int]:
    """Processes that one started, and those that they started."""
    found = set()
    for path in Path(f'/proc/{pid}/task').glob('*/children'):
        for child in map(int, path.read_text().split()):
            found |= {child, *family(child)}
    return found


def interrupt(folder: Path, number: int, sign: str) -> tuple[int, str]:
    """Send a signal once the log says something; returns code and log."""
    log = folder / 'log.txt'
    with log.open('w') as file:
        process = subprocess.Popen(
            command(folder, iters=100_000),
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    start = time.monotonic()
    while sign not in log.read_text():
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() - start < 120, log.read_text()[-3000:]
        time.sleep(0.1)
    children = family(process.pid)
    assert children
    process.send_signal(number)
    code = process.wait(30)
    left = [pid for pid in children if Path(f'/proc/{pid}').exists()]
    assert not left
    return code, log.read_text()


@pytest.mark.skipif(
    not Path('/proc/self/task').exists(), reason='processes are in /proc'
)
def test_a_signal_ends_all_and_the_next_call_goes_on(tmp_path: Path) -> None:
    code, log = interrupt(tmp_path, signal.SIGTERM, 'Iter(train) [    10/')
    assert code == 128 + signal.SIGTERM
    assert 'SIGTERM: stopped after iteration' in log
    assert 'SIGTERM: stopped; rerun the command to resume' in log
    assert 'Traceback' not in log
    [saved] = (tmp_path / 'runs/source_only').glob('iter_*.pth')
    code, log = interrupt(tmp_path, signal.SIGINT, 'Iter(train) [')
    assert code == 128 + signal.SIGINT
    assert 'resuming in' in log
    assert f'iter: {saved.stem.removeprefix("iter_")}' in log
    assert 'Traceback' not in log
