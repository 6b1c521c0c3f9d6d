# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A GPU day starts, ends and is kept as a whole; its parts do nothing here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gpu_day import day, towns
from gpu_day.setup import NO_TIME, NotHereError, Setup
from gpu_day.tables import describe

ROOT = Path(__file__).parents[2]
MACHINE = dict(
    card='A Card',
    card_gib=80,
    driver='1',
    cuda='13.0',
    cudnn=9,
    nccl='2',
    cores=16,
    python='3.12',
    versions=dict(torch='2.11'),
)
# Parts that end at once, or that start a process and hang.
DAY = """
import os, subprocess, sys, time
from types import ModuleType
from gpu_day import day

def hang(*_):
    child = subprocess.Popen(['sleep', '60'])
    with open(os.environ['PROCESSES'], 'a') as file:
        file.write(f'{os.getpid()} {child.pid}\\n')
    time.sleep(60)

hangs = 'PROCESSES' in os.environ
for name in ('machine', 'gpu_tests', 'recipes', 'towns'):
    module = ModuleType(name)
    module.measure = hang if hangs else lambda setup: dict(done=name)
    module.draw_towns = hang if hangs else lambda *_: None
    module.check = lambda results, rehearse: []
    module.identify = lambda device: %r
    sys.modules[f'gpu_day.{name}'] = module
sys.modules['mmseg'] = None
day.preload = lambda args: None
day.main()
"""


def start(
    out: Path, parts: str, *before: str, **variables: object
) -> subprocess.Popen:
    command = [*before, sys.executable, '-c', DAY % MACHINE, '--rehearse']
    variables = {key: str(value) for key, value in variables.items()}
    return subprocess.Popen(
        [*command, '--minutes', '1', '--parts', parts, '--out', str(out)],
        env=os.environ
        | dict(PYTHONPATH=str(ROOT / 'tools/benchmarks'))
        | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # These tests may themselves run under nohup.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )


def results(out: Path, name: str = 'gpu_day') -> dict:
    return json.loads((out / f'{name}.json').read_text())


def is_alive(process: int) -> bool:
    try:
        stat = Path(f'/proc/{process}/stat').read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(')')[2].split()[0] not in 'ZX'


def wait_until(condition: object, seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < ends:
        time.sleep(0.02)
    return met


@pytest.mark.skipif(sys.platform != 'linux', reason='of /proc')
@pytest.mark.parametrize(
    ('number', 'left'),
    [(signal.SIGTERM, []), (signal.SIGHUP, []), (signal.SIGKILL, ['sleep'])],
)
def test_no_part_outlives_the_day(number, left, tmp_path):
    kept, pairs = tmp_path / 'processes', []
    process = start(tmp_path / 'out', 'b,e', PROCESSES=kept)
    try:
        started = wait_until(
            lambda: kept.exists() and kept.read_text().count('\n') == 2, 20
        )
        assert started
        # A part or the drawing, and a process that it started.
        pairs = [line.split() for line in kept.read_text().splitlines()]
        watched = [int(pair[0]) for pair in pairs]
        watched += [] if left else [int(pair[1]) for pair in pairs]
        assert all(map(is_alive, watched))
        process.send_signal(number)
        assert wait_until(lambda: not any(map(is_alive, watched)), 2)
        process.wait(2)
    finally:
        process.kill()
        process.stdout.close()
        for one in [int(number) for pair in pairs for number in pair]:
            if is_alive(one):
                os.kill(one, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != 'linux', reason='of nohup')
def test_a_day_outlives_its_terminal_with_nohup(tmp_path):
    kept = tmp_path / 'processes'
    process = start(tmp_path / 'out', 'b', 'nohup', PROCESSES=kept)
    try:
        assert wait_until(kept.exists, 20)
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.terminate()
        assert process.wait(2) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.stdout.close()


def test_each_run_names_its_machine(tmp_path):
    process = start(tmp_path, 'e')
    assert 'on one A Card (80 GiB' in process.communicate()[0]
    assert process.returncode == 0
    found = results(tmp_path)
    assert found['parts']['e']['results'] == dict(done='towns')
    told = describe(found)
    assert 'on one A Card (80 GiB, driver 1' in told and 'torch 2.11' in told
    assert told in (tmp_path / 'gpu_day.md').read_text()


def test_a_second_run_into_a_folder_keeps_the_first(tmp_path):
    for parts in ('b', 'e', 'b,e'):
        assert start(tmp_path, parts).wait(20) == 0
    runs = [results(tmp_path, f'gpu_day{end}') for end in ('_1', '_2', '')]
    assert [list(run['parts']) for run in runs] == [['b'], ['e'], ['b', 'e']]
    assert len(list(tmp_path.iterdir())) == 9


def test_the_minutes_begin_with_the_command(tmp_path):
    long_ago = time.time() - 100
    before = time.monotonic()
    process = start(tmp_path, 'b,e', GPU_DAY_BEGUN=long_ago)
    assert process.wait(20) == 1
    assert time.monotonic() - before < 5
    for part in results(tmp_path)['parts'].values():
        assert (part['status'], part['message']) == ('failed', NO_TIME)


def test_the_command_counts_its_wheels(tmp_path):
    python, wheels = tmp_path / 'python', tmp_path / 'wheels'
    python.write_text(
        '#!/bin/sh\n'
        'case "$*" in *pip*) sleep 1.1 ;; '
        '*) echo "$(($(date +%s) - GPU_DAY_BEGUN)) s" ;; esac\n'
    )
    python.chmod(0o755)
    wheels.mkdir()
    (wheels / 'one.whl').touch()
    done = subprocess.run(
        ['bash', 'tools/benchmarks/gpu_day.sh'],
        cwd=ROOT,
        env=os.environ | dict(PYTHON=str(python), WHEELS=str(wheels)),
        text=True,
        capture_output=True,
    )
    assert done.stdout in ('1 s\n', '2 s\n'), done.stderr


def test_a_drawing_that_fails_keeps_nothing_waiting(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(towns, 'draw_towns', fail)
    log = tmp_path / 'log'
    drawing = day.draw(tmp_path, True, log)
    drawing.join(20)
    assert drawing.exitcode == 1
    assert 'Traceback' in log.read_text()
    before = time.monotonic()
    setup = Setup('cpu', True, before + 60, tmp_path, {}, lambda found: None)
    with pytest.raises(NotHereError, match='not drawn: OSError: .* No space'):
        towns.wait_for_towns(setup)
    assert time.monotonic() - before < 1


def test_a_drawing_that_hangs_or_dies(tmp_path, monkeypatch):
    def sleep(*_):
        time.sleep(60)

    monkeypatch.setattr(towns, 'draw_towns', sleep)
    told = []
    for left in (0.4, 60):
        own = day.Day.__new__(day.Day)
        own.folder, own.ends = tmp_path, time.monotonic() + left
        drawing = day.draw(tmp_path, True, tmp_path / 'log')
        if left > 1:
            drawing.kill()
        own._await_towns(drawing)
        assert not drawing.is_alive()
        told.append((tmp_path / day.NOT_DRAWN).read_text())
        (tmp_path / day.NOT_DRAWN).unlink()
    assert told[0] == 'minitown was not drawn in time'
    assert told[1] == 'minitown was not drawn (it ended with -9)'
