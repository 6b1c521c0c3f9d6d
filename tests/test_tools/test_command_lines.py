# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The command lines: what users type, and what they read when it is wrong."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_cag.launch import chain
from tests import tiny

ROOT = Path(__file__).parents[2]


def call(*arguments: object) -> str:
    """Run a tool in a process of its own; returns all that it wrote."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-3000:]
    return text


@pytest.fixture
def complaint(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a tool in this process; returns the message it exits with."""

    def run(script: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(ROOT / script), run_name='__main__')
        message = caught.value.code
        assert isinstance(message, str) and '\n' not in message
        return message

    return run


def test_limits_of_a_checkpoint_or_of_a_quantile(complaint):
    tool = 'tools/benchmarks/benchmark_unknown.py'
    options = ['--checkpoint', 'iter_1.pth', '--quantile', 0.9]
    assert '--quantile: the limits are' in complaint(tool, 'any.py', *options)


@pytest.mark.parametrize(
    'tool',
    [
        'analysis/estimate',
        'benchmarks/benchmark_speed',
        'benchmarks/benchmark_steps',
        'benchmarks/benchmark_unknown',
        'fit_anchors',
    ],
)
def test_a_broken_config_is_one_line(tool, complaint, tmp_path):
    path = tmp_path / 'config.py'
    options = ['--config'] if tool.endswith('speed') else []
    said = complaint(f'tools/{tool}.py', *options, path)
    assert said == f'error: {path}: config file not found'
    path.write_text('model = dict(')
    said = complaint(f'tools/{tool}.py', *options, path)
    assert said.startswith(f'error: {path}: invalid Python')


@pytest.mark.parametrize(
    ('tool', 'option'),
    [
        ('analysis/evaluate_pseudo_labels', '--out'),
        ('analysis/score_checkpoints', '--out'),
        ('check_data', '--json'),
    ],
)
def test_a_folder_for_a_file_is_refused_first(
    tool, option, monkeypatch, tmp_path, capsys
):
    arguments = [tool, 'any', 'any', option, str(tmp_path)]
    if tool == 'check_data':
        del arguments[1]
    monkeypatch.setattr(sys, 'argv', arguments)
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / f'tools/{tool}.py'), run_name='__main__')
    said = capsys.readouterr().err
    assert option in said
    assert f'{tmp_path}: is a folder, expected a file' in said


@pytest.mark.parametrize(
    ('path', 'options', 'told'),
    [
        ('minitown/bdl_loop.py', [], 'tools/train_bdl.py runs a loop'),
        ('_base_/methods/cag.py', ['--bf16'], 'cag.py: model is missing'),
        (
            'minitown/cag.py',
            ['--cfg-options', 'train_cfg=None'],
            'minitown/cag.py: train_cfg is missing, expected the config of a '
            'whole run, with model, train_cfg, optim_wrapper, train_dataload',
        ),
        (
            'minitown/cag.py',
            ['--cfg-options', 'start_options.optim_wrapper=None'],
            'source_only.py: optim_wrapper is missing',
        ),
        (
            'minitown/cag.py',
            ['--cfg-options', 'train_cfg.val_begin=None'],
            'train_cfg.val_begin=None, expected a whole number from 1',
        ),
    ],
)
def test_a_config_that_is_not_of_a_whole_run(
    complaint, monkeypatch, path, options, told
):
    monkeypatch.chdir(ROOT)
    folder = ['--work-dir', 'not_written']
    said = complaint('tools/train.py', f'configs/{path}', *folder, *options)
    assert said.startswith('error: ') and told in said


@pytest.fixture
def config(tmp_path: Path) -> tuple[Config, Path]:
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run')
    cfg.custom_hooks.append(dict(type='CheckCheckpointHook'))
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    cfg.custom_imports = dict(
        imports=['mmseg_cag', 'tests.tiny'], allow_failed_imports=False
    )
    path = tmp_path / 'config.py'
    return cfg, path


def save(config: tuple[Config, Path]) -> Path:
    cfg, path = config
    cfg.dump(path)
    return path


@pytest.mark.long
def test_training_resumes_and_is_tested(config, tmp_path):
    path, work_dir = save(config), tmp_path / 'work'
    call('tools/train.py', path, '--work-dir', work_dir)
    last = Path((work_dir / 'last_checkpoint').read_text())
    start = torch.load(last, weights_only=False)
    # The run's own checkpoint goes before load_from.
    text = call(
        *('tools/train.py', path, '--work-dir', work_dir, '--resume'),
        *('--cfg-options', f'load_from={last}'),
    )
    assert f'resumed epoch: 0, iter: {start["meta"]["iter"]}' in text
    text = call('tools/test.py', path, last, '--work-dir', work_dir)
    assert 'mIoU' in text


def test_what_is_missing_is_named_in_one_line(config, tmp_path, complaint):
    cfg, _ = config
    assert 'none.py: config file not found' in complaint(
        'tools/train.py', 'none.py'
    )
    train = ('tools/train.py', save(config), '--work-dir', tmp_path / 'work')
    options = (*train, '--cfg-options')
    line = complaint(*options, 'load_from=none.pth')
    assert line.startswith('error: load_from=none.pth: checkpoint not found')
    line = complaint(*options, 'model.decode_head.num_classes=5')
    assert 'num_classes=5, but' in line
    line = complaint(*options, 'train_dataloader.dataset.domains.target=None')
    assert 'train_dataloader.dataset.domains.target is missing' in line
    label = next((tmp_path / 'gta/labels').iterdir())
    label.unlink()
    assert f'{label}: label of' in complaint(*train)


def test_a_checkpoint_of_another_network_is_refused(
    config, tmp_path, complaint
):
    path = save(config)
    torch.save({'state_dict': {'x': torch.zeros(1)}}, tmp_path / 'x.pth')
    line = complaint('tools/test.py', path, tmp_path / 'x.pth')
    assert 'x.pth: a checkpoint of another network' in line


def test_the_folder_of_a_tested_run_keeps_its_config(
    config, tmp_path, monkeypatch
):
    path, work_dir = save(config), tmp_path / 'work'
    tested = []
    monkeypatch.setattr(chain, 'evaluate_run', tested.append)
    command = ['tools/test.py', str(path), str(path)]
    monkeypatch.setattr(sys, 'argv', [*command, '--work-dir', str(work_dir)])
    runpy.run_path(str(ROOT / command[0]), run_name='__main__')
    # mmengine dumps its config there, as that of the test.
    assert Path(tested[0].work_dir) == work_dir / 'test'


@pytest.mark.parametrize(
    'command',
    [
        ['dist_train.sh', 'c.py'],
        ['dist_train_bdl.sh', 'c.py'],
        ['dist_test.sh', 'c.py', 'c.pth'],
    ],
)
def test_a_forgotten_number_of_gpus(command: list[str]) -> None:
    script, *arguments = command
    done = subprocess.run(
        ['bash', f'tools/{script}', *arguments, '--work-dir', 'x'],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert 'expected a number' in done.stderr
