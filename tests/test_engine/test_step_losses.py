# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""No step waits for the device: neither its losses nor the log."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_cag.engine.step_losses import StepLosses, take_arrived
from tests import tiny
from tests.alternating import draw, joint_losses

METHODS = {
    'cag': lambda: tiny.cag(by=('anchor', 'probability')),
    'adaptsegnet': lambda: tiny.adversarial((0.1, 0.02)),
    'clan': tiny.clan,
    'bdl': tiny.bdl,
}
# What reads a value of the device, on whichever it is.
WAITS = {
    '_local_scalar_dense',
    'nonzero',
    'masked_select',
    'is_nonzero',
    'equal',
    '_unique2',
    'bincount',
}


class Waits(TorchDispatchMode):
    """Note the operators that wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        mask = name == 'index' and any(
            index is not None and index.dtype == torch.bool
            for index in args[1]
        )
        if mask or name in WAITS:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def test_what_waits_is_seen():
    values = torch.arange(3.0)
    with Waits() as waits:
        values[values > 1].sum().item()
    assert waits.found == ['index', '_local_scalar_dense']


@pytest.mark.parametrize('name', METHODS)
def test_forward_and_backward_wait_for_nothing(name):
    model = MODELS.build(METHODS[name]()).train()
    source, labels, target = draw()
    batch = (source.float(), labels, target.float())
    with Waits() as waits:
        losses = joint_losses(model, batch)
        model.parse_losses(losses)[0].backward()
    assert waits.found == []


def test_on_a_device_a_step_is_read_as_the_next_one_runs(monkeypatch):
    monkeypatch.setattr(StepLosses, 'are_here', lambda self: False)
    steps, read = deque(), []
    for i in (1, 2, 3):
        steps.append(StepLosses({'loss': torch.tensor(i / 3)}, i, []))
        read += [(s.iteration, s.read()) for s in take_arrived(steps)]
        assert [i for i, _ in read] == list(range(1, i))
    [last] = take_arrived(steps, wait=True)
    # Float32, in every digit.
    assert last.read() == {'loss': torch.tensor(1.0).item()}


class Keep(Hook):
    """Keep the loss of every iteration, and what the log knows of it."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.known: list[int] = []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs) -> None:
        self.losses.append(outputs['loss'].item())
        log = runner.message_hub.log_scalars.get('train/loss')
        self.known.append(0 if log is None else len(log.data[0]))


@pytest.mark.parametrize('late', [False, True])
def test_the_log_holds_every_loss(late, tmp_path, monkeypatch, unformatted):
    if late:
        monkeypatch.setattr(StepLosses, 'are_here', lambda self: False)
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / f'run{late}')
    cfg.default_hooks.runtime_info = dict(type='LossLogHook')
    cfg.default_hooks.logger.interval = 3
    cfg.default_hooks.checkpoint.interval = 6
    cfg.custom_hooks.append(dict(type='NonFiniteHook'))
    runner = Runner.from_cfg(cfg)
    keep = Keep()
    runner.register_hook(keep)
    runner.train()
    logged, _ = runner.message_hub.get_scalar('train/loss').data
    assert logged.tolist() == keep.losses
    waited = [0, 1, 3, 3, 4, 6] if late else [1, 2, 3, 4, 5, 6]
    assert keep.known == waited
