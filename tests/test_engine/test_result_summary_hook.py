# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from tests import tiny


class Lines(logging.Handler):
    """Keep what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def run(work_dir: Path, values: dict, start: int = 0) -> list[str]:
    """Call the hook as a run does; returns the log."""
    lines = Lines()
    logger = logging.Logger('run', logging.INFO)
    logger.addHandler(lines)
    runner = SimpleNamespace(
        work_dir=str(work_dir),
        iter=start,
        logger=logger,
        model=None,
        message_hub=MessageHub('of no run'),
    )
    hook = HOOKS.build(dict(type='ResultSummaryHook'))
    hook.before_train(runner)
    for iteration, metrics in values.items():
        runner.iter = iteration
        hook.after_val_epoch(runner, metrics)
    hook.after_train(runner)
    return lines.lines


def result(value: float) -> dict:
    return {'aAcc': 1.0, 'mIoU': value, 'mIoU16': value + 1, 'IoU.sky': 9.0}


def test_both_are_told_with_their_checkpoints(tmp_path):
    for name in ('iter_30.pth', 'best_mIoU_iter_20.pth', 'iter_120.pth'):
        (tmp_path / name).touch()
    last, best = run(tmp_path, {10: result(1), 20: result(3), 30: result(2)})
    assert last == 'Last: mIoU 2.00, mIoU16 3.00 at iteration 30 (iter_30.pth)'
    assert best.startswith(
        'Best by mIoU: mIoU 3.00, mIoU16 4.00 at iteration 20 '
        '(best_mIoU_iter_20.pth). '
    )
    assert 'not unsupervised' in best


def test_the_last_may_be_the_best_and_without_a_file(tmp_path):
    last, best = run(tmp_path, {10: result(1), 20: result(3)})
    assert '(no checkpoint kept)' in last
    assert best == 'Best by mIoU: the last'


def test_not_a_number_is_never_the_best(tmp_path):
    values = {1: result(math.nan), 2: result(2), 3: result(math.nan)}
    _, best = run(tmp_path, values)
    assert 'at iteration 2' in best


def test_a_resumed_run_remembers_up_to_where_it_goes_on(tmp_path):
    run(tmp_path, {10: result(5), 20: result(3), 30: result(9)})
    # The run was stopped after 30, but its last checkpoint is of 20.
    last, best = run(tmp_path, {30: result(4), 40: result(2)}, start=20)
    assert 'mIoU 2.00' in last and 'at iteration 40' in last
    assert 'mIoU 5.00' in best and 'at iteration 10' in best
    notes = json.loads((tmp_path / 'validation.json').read_text())
    assert {i: r['mIoU'] for i, r in notes.items()} == {
        '10': 5,
        '20': 3,
        '30': 4,
        '40': 2,
    }
    assert notes['40']['IoU.sky'] == 9


def test_a_new_run_forgets_another(tmp_path):
    run(tmp_path, {10: result(5)})
    assert run(tmp_path, {}) == []
    assert not (tmp_path / 'validation.json').exists()
    last, best = run(tmp_path, {10: result(1)})
    assert 'mIoU 1.00' in last and best == 'Best by mIoU: the last'


def test_a_mere_validation_leaves_the_notes_alone(tmp_path):
    run(tmp_path, {10: result(5)})
    notes = (tmp_path / 'validation.json').read_text()
    hook = HOOKS.build(dict(type='ResultSummaryHook'))
    runner = SimpleNamespace(work_dir=str(tmp_path), iter=0)
    hook.after_val_epoch(runner, result(1))
    assert (tmp_path / 'validation.json').read_text() == notes


@pytest.mark.parametrize('metrics', [None, {}, {'mDice': 3.0}])
def test_other_results_are_nothing_to_tell(tmp_path, metrics):
    assert run(tmp_path, {10: metrics}) == []


class Stop(Hook):
    """Break off after an iteration's validation."""

    def after_val_epoch(self, runner, metrics=None) -> None:
        if runner.iter == 4:
            raise KeyboardInterrupt


def start(root: Path, **changes) -> Runner:
    cfg = tiny.run_config(root, root / 'work', stage_iters=4)
    cfg.train_cfg.vals_per_stage = 2
    cfg.default_hooks.checkpoint.interval = 2
    cfg.custom_hooks.append(dict(type='ResultSummaryHook'))
    cfg.val_evaluator = dict(type='UDAIoUMetric')
    cfg.experiment_name += str(sorted(changes))
    cfg.update(changes)
    return Runner.from_cfg(cfg)


def test_a_run_that_is_stopped_after_a_validation(tmp_path):
    """The validation at the checkpoint's own iteration is remembered."""
    tiny.write_towns(tmp_path)
    runner = start(tmp_path)
    runner.register_hook(Stop(), priority='LOWEST')
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    latest = str(tmp_path / 'work/iter_4.pth')
    start(tmp_path, load_from=latest, resume=True).train()
    notes = json.loads((tmp_path / 'work/validation.json').read_text())
    assert list(notes) == ['2', '4', '6', '8']
    assert [note['stage'] for note in notes.values()] == [1, 1, 2, 2]
    for note in notes.values():
        assert note['classes'][tiny.CAR] == 'car'
        matrix = note['confusion_matrix']
        own, row = matrix[tiny.CAR][tiny.CAR], sum(matrix[tiny.CAR])
        union = row + sum(line[tiny.CAR] for line in matrix) - own
        assert row > 0
        assert note['IoU.car'] == pytest.approx(100 * own / union, abs=6e-3)
    # A line each, which a person can read.
    text = (tmp_path / 'work/validation.json').read_text()
    assert len(text.splitlines()) == 2 + len(notes)
