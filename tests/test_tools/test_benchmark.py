# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from speed.step import Form, Step, load_batch

from tests import tiny

ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / 'tools/benchmarks/benchmark_speed.py')
SMALL = '--shape 2 6 16 24 --classes 3 --many-classes 5 --rounds 1'.split()
SMALL += '--images 2 150 60'.split()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, 'argv', [SCRIPT, *SMALL, *map(str, arguments)])
    runpy.run_path(SCRIPT, run_name='__main__')


@pytest.fixture
def config(tmp_path) -> Path:
    """A config of the tiny network, and its data."""
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run', 3)
    cfg.train_dataloader.dataset = tiny.uda(tmp_path, augment=True)
    path = tmp_path / 'tiny.py'
    cfg.dump(path)
    return path


def test_what_it_writes(monkeypatch, tmp_path, capsys, config):
    path, document = tmp_path / 'speed.json', tmp_path / 'speed.md'
    options = ['--config', config, '--amp', 'bf16', '--channels-last']
    monkeypatch.setattr('speed.teaching.TENSORS', 40)
    run(monkeypatch, *options, '--json', path, '--markdown', document)
    results = json.loads(path.read_text())
    labels = results['operations']['pseudo labels']
    assert labels['loop']['median'] > 0 and labels['floor'] > 0
    assert 0 < labels['memory']
    settings = ['classes=3', 'classes=5', 'images=1', 'images=2', 'images=4']
    for found in results['scaling'].values():
        assert list(found) == settings
    assert results['teaching']['ClassMix']['plain']['median'] > 0
    step = results['step']
    assert step['config'] == 'tiny.py' and step['stages'] == 2
    assert list(step['forms']) == ['fp32', 'bf16, channels-last']
    for found in step['forms'].values():
        assert found['memory'] > 0
        for part in ('whole', 'passes', 'anchors'):
            assert 0 < found[part]['p10'] <= found[part]['p90']
    assert 'times as fast as fp32' in capsys.readouterr().out
    assert '| pseudo labels |' in document.read_text()


def test_a_step_on_the_data_of_the_config(monkeypatch, tmp_path, config):
    path = tmp_path / 'speed.json'
    options = ['--parts', 'step', '--config', config, '--data']
    run(monkeypatch, *options, '--json', path)
    results = json.loads(path.read_text())
    assert results.keys() == {'machine', 'step'}
    assert results['step']['agreement'] == 1


def test_passes_leave_nothing_for_the_next_step(config):
    cfg = Config.fromfile(config)
    step = Step(cfg, Form(), 'cpu', load_batch(cfg))
    step.passes()
    assert all(p.grad is None for p in step.model.parameters())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--amp', 'fp16'], 'needs --device cuda'),
        (['--device', 'cuda'], 'has no GPU'),
    ],
)
def test_what_cannot_be_measured(monkeypatch, options, message):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        run(monkeypatch, *options)
