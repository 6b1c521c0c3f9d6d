# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_cag.monitor.discriminator_hook import DiscriminatorHook
from tests import tiny


class Log(list):
    """A logger that keeps its warnings."""

    warning = list.append


def warnings(losses: list[dict[str, float]], **settings) -> list[str]:
    """Let the hook see the losses of a run."""
    runner = SimpleNamespace(logger=Log(), model=None)
    hook = DiscriminatorHook(**settings)
    with TemporaryDirectory() as runner.work_dir:
        for runner.iter, step in enumerate(losses):
            outputs = {key: torch.tensor(value) for key, value in step.items()}
            hook.after_train_iter(runner, runner.iter, outputs=outputs)
    return runner.logger


def both(source: float, target: float, level: str = '') -> dict[str, float]:
    return {
        f'source.{level}loss_dis': source,
        f'target.{level}loss_dis': target,
        'loss': 1.0,
        'source.loss_ce': 0.0,
    }


def test_a_collapse_is_told_once_with_its_name():
    well = both(0.3, 0.3)
    bad = both(4e-4, 4e-4, 'aux.')
    log = warnings([{**well, **bad}] * 1200)
    [warning] = log
    assert 'aux.loss_dis was for 500 steps below 0.001' in warning
    assert 'iteration 500' in warning
    assert '\n' not in warning


@pytest.mark.parametrize(
    'losses',
    [
        [both(4e-4, 4e-4)] * 499 + [both(0.1, 0.1)] * 101,
        ([both(4e-4, 4e-4)] * 300 + [both(0.1, 0.1)]) * 3,
        [both(6e-4, 6e-4)] * 600,  # the sum of both domains counts
        [{'source.loss_ce': 0.0, 'loss_dis': 0.0}] * 600,
    ],
)
def test_no_collapse(losses):
    assert warnings(losses) == []


def test_one_that_ends_between_two_looks_is_seen():
    low, well = both(0.0, 0.0), both(0.3, 0.3)
    log = warnings([well] * 10 + [low] * 510 + [well] * 80)
    assert 'for 510 steps below' in log[0]


def test_an_explosion():
    log = warnings([both(6.0, 6.0)] * 100)
    assert len(log) == 1 and 'above 10.0: it explodes' in log[0]
    assert warnings([both(6.0, 6.0)] * 19 + [both(0.3, 0.3)] * 81) == []


def test_steps_between_looks_do_not_wait(monkeypatch):
    reads = []
    original = torch.Tensor.tolist
    monkeypatch.setattr(
        torch.Tensor, 'tolist', lambda t: reads.append(1) or original(t)
    )
    monkeypatch.setattr(
        torch.Tensor, '__bool__', lambda t: pytest.fail('a tensor was read')
    )
    monkeypatch.setattr(
        torch.Tensor, 'item', lambda t: pytest.fail('a tensor was read')
    )
    warnings([both(0.3, 0.3)] * 100, interval=50)
    assert len(reads) == 2


class Blunt(Hook):
    """Make the discriminator right from the second iteration on."""

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        loss = runner.model.adversarial_loss
        loss.forward = lambda judged, *_: judged.mean() * 0


def test_in_a_run(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = tiny.adversarial_run(tmp_path, tmp_path / 'run', tiny.adversarial())
    cfg.custom_hooks.append(
        dict(type='DiscriminatorHook', floor_steps=4, interval=2)
    )
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Blunt())
    runner.train()
    [log] = (tmp_path / 'run').glob('*/*.log')
    found = [x for x in log.read_text().splitlines() if 'collapsed' in x]
    assert len(found) == 1 and 'loss_dis was for 4 steps' in found[0]
    [alarm] = (tmp_path / 'run/alarms.jsonl').read_text().splitlines()
    alarm = json.loads(alarm)
    assert alarm['alarm'] == 'discriminator' and alarm['class'] is None
    assert alarm['iter'] == 4 and alarm['message'] in found[0]
