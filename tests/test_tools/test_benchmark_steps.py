# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import runpy
import sys
import time
from pathlib import Path

import pytest
import torch
from speed.step_parts import PASSES, PartClock, measure_parts

from tests import tiny
from tests.gpu import methods

ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / 'tools/benchmarks/benchmark_steps.py')


def test_a_part_excludes_those_within_it(monkeypatch):
    now = iter([0, 1, 2, 4, 7, 8, 16, 32])  # seconds at each look
    monkeypatch.setattr(time, 'perf_counter', lambda: next(now))
    clock = PartClock()
    inner = clock.timed(lambda: None, 'inner')
    same = clock.timed(inner, 'inner')
    outer = clock.timed(lambda: (same(), inner()), 'outer')
    outer()
    assert clock.calls == {'outer': 1, 'inner': 2}
    assert clock.spent['inner'] == 1e3 * ((7 - 1) + (16 - 8))
    assert sum(clock.spent.values()) == 32e3


def test_the_clock_runs_where_a_part_fails():
    clock = PartClock()

    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        clock.timed(clock.timed(fail, 'b'), 'a')()
    assert clock.spent.keys() == {'a', 'b'} and not clock._within


# Forward passes of student, teachers, network of the start, foreign encoder.
PAPER = {
    'cag': (2, 1, 0, 0),
    'dacs': (2, 1, 0, 0),
    'daformer': (2, 1, 1, 0),
    'hrda': (2, 1, 1, 0),
    'mic': (3, 1, 0, 0),
    'mic_daformer': (3, 1, 1, 0),
    'mic_hrda': (3, 1, 1, 0),
    'proda': (3, 2, 0, 0),
    'anchor_teacher': (2, 2, 0, 0),
    'foreign_anchors': (2, 2, 0, 1),
}


@pytest.mark.long
@pytest.mark.parametrize('method', PAPER)
def test_a_step_runs_the_networks_as_often_as_the_method_says(method):
    cfg, _ = methods.load(method, 'cpu')
    found = measure_parts(cfg, rounds=1)
    assert tuple(found['calls'].values()) == PAPER[method]
    assert found['ratio']['median'] > 1
    assert not found['parts'].keys() & {*PASSES}
    others = sum(found['parts'].values())
    whole, passes = (found[key]['median'] for key in ('whole', 'passes'))
    assert whole == pytest.approx(passes + others)


def test_what_it_writes(monkeypatch, tmp_path, capsys):
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run', 3)
    cfg.train_dataloader.dataset = tiny.uda(tmp_path, augment=True)
    config, threads = tmp_path / 'tiny.py', torch.get_num_threads()
    cfg.dump(config)
    path, table = tmp_path / 'steps.json', tmp_path / 'steps.md'
    options = ['--rounds', '1', '--threads', threads]
    options += ['--json', path, '--markdown', table]
    command = [SCRIPT, config, *options]
    monkeypatch.setattr(sys, 'argv', [*map(str, command)])
    runpy.run_path(SCRIPT, run_name='__main__')
    found = json.loads(path.read_text())['steps']['tiny']
    assert found['calls']['student'] == 2 and found['parts']['optimizer'] > 0
    assert '| tiny | ' in table.read_text()
    assert '2 student, 1 teacher' in table.read_text()
    assert 'tiny' in capsys.readouterr().out
