# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import pytest
import torch
from mmseg.registry import PARAM_SCHEDULERS

from mmseg_cag.errors import UserError

STAGE, POWER, RATES = 7, 0.9, (0.1, 0.003)
END = 3 * STAGE


def build(power=POWER, stage_iters=STAGE, **kwargs):
    groups = [
        dict(params=[torch.zeros(1, requires_grad=True)], lr=lr)
        for lr in RATES
    ]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    cfg = dict(type='PolyRestartLR', by_epoch=False, end=END, power=power)
    cfg.update(kwargs)
    scheduler = PARAM_SCHEDULERS.build({**cfg, 'optimizer': optimizer})
    scheduler.restart_iters = stage_iters
    return optimizer, scheduler


def rates(optimizer) -> list[float]:
    return [group['lr'] for group in optimizer.param_groups]


def closed_form(iteration: int, power: float = POWER) -> list[float]:
    factor = (1 - (iteration % STAGE) / STAGE) ** power
    return [lr * factor for lr in RATES]


def train(optimizer, scheduler, start: int, stop: int) -> list[list[float]]:
    """Rates that iterations start..stop-1 are run with."""
    used = []
    for _ in range(start, stop):
        used.append(rates(optimizer))
        optimizer.step()
        scheduler.step()
    return used


@pytest.mark.parametrize('power', [0.9, 1.0, 2.0])
def test_three_stages(power):
    used = train(*build(power), 0, 3 * STAGE)
    for iteration, found in enumerate(used):
        assert found == pytest.approx(closed_form(iteration, power))
    assert used[0] == used[STAGE] == used[2 * STAGE] == list(RATES)
    assert used[STAGE - 1] != used[STAGE]


@pytest.mark.parametrize('stop', [1, STAGE - 1, STAGE, STAGE + 3, 2 * STAGE])
def test_resumed_anywhere(stop):
    optimizer, scheduler = build()
    train(optimizer, scheduler, 0, stop)
    saved = copy.deepcopy([optimizer.state_dict(), scheduler.state_dict()])
    rest = train(optimizer, scheduler, stop, 3 * STAGE)
    optimizer, scheduler = build()
    optimizer.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    assert train(optimizer, scheduler, stop, 3 * STAGE) == rest


def test_the_end_that_mmengine_fills_in_ends_nothing():
    used = train(*build(end=1), 0, STAGE)
    assert used[STAGE - 1] == pytest.approx(closed_form(STAGE - 1))


@pytest.mark.parametrize('told', [True, False])
@pytest.mark.parametrize('stop', [3, STAGE])
def test_a_longer_run_goes_on_as_if_it_had_been_longer(stop, told):
    def longer(end: int) -> tuple:
        optimizer, scheduler = build(decay_iters=END, end=end)
        scheduler.restart_iters = None
        if told:
            scheduler.restart_each(end)
        return optimizer, scheduler

    whole = train(*longer(END), 0, END)
    optimizer, scheduler = longer(STAGE)
    assert train(optimizer, scheduler, 0, stop) == whole[:stop]
    if told:
        scheduler.restart_each(END)
    assert train(optimizer, scheduler, stop, END) == whole[stop:]


def test_without_a_loop_that_tells_the_run_is_one_stage():
    used = train(*build(stage_iters=None, end=STAGE), 0, STAGE)
    assert used == train(*build(), 0, STAGE)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(by_epoch=True), 'by_epoch=True, .* expected by_epoch=False'),
        (dict(end=None), 'end=None, decay_iters=None; expected'),
        (dict(decay_iters=-5), 'decay_iters=-5, .* expected decay_iters from'),
        (dict(warmup_iters=-1), 'warmup_iters=-1; expected .* from 0'),
    ],
)
def test_a_schedule_without_a_length(settings, message):
    with pytest.raises(UserError, match=message):
        build(**settings)


def test_a_decay_that_is_longer_than_a_stage():
    used = train(*build(decay_iters=10, power=1.0), 0, 2 * STAGE)
    for iteration, found in enumerate(used):
        factor = 1 - (iteration % STAGE) / 10
        assert found == pytest.approx([lr * factor for lr in RATES])


def test_a_warm_up_of_one_iteration_with_an_initial_factor():
    used = train(*build(warmup_iters=1, warmup_from=0.1), 0, 2)
    assert used == [
        pytest.approx([0.1 * lr for lr in RATES]),
        pytest.approx(closed_form(1)),
    ]


def test_a_warm_up():
    used = train(*build(warmup_iters=3), 0, 2 * STAGE)
    for iteration, found in enumerate(used):
        step = iteration % STAGE
        expected = closed_form(step)
        if step < 3:
            expected = [lr * step / 3 for lr in RATES]
        assert found == pytest.approx(expected)
    assert used[0] == [0, 0]
