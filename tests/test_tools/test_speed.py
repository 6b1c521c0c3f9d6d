# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from speed.loops import LOOPS
from speed.memory import extra_memory
from speed.operations import Maps, floor_bytes, operations
from speed.step import Form
from speed.teaching import OPERATIONS, Lesson
from speed.timing import time_in_turn

N, K, C, H, W = 2, 4, 6, 17, 24


@pytest.fixture(params=[torch.contiguous_format, torch.channels_last], ids=str)
def maps(request) -> Maps:
    return Maps.draw((N, C, H, W), K, 'cpu', memory_format=request.param)


@pytest.mark.parametrize('name', LOOPS)
def test_the_loops_compute_the_same(maps, name):
    # Some pixels are inactive, some predicted wrongly.
    maps.head.margin.fill_(0.8)
    maps.logits.mul_(1.5).add_(torch.randn_like(maps.logits))
    fast, slow = operations()[name](maps), LOOPS[name](maps)
    assert fast.float().std() > 0
    torch.testing.assert_close(
        fast, slow, check_dtype=False, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize('name', OPERATIONS)
@torch.no_grad()
def test_straightforward_forms_compute_the_same(name):
    fast, plain = (
        form(Lesson.draw((2, 150, 60), 5, 'cpu', 40, 100))
        for form in OPERATIONS[name]
    )
    assert fast.float().std() > 0
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=2e-5)


def test_each_operation_has_a_floor(maps):
    assert floor_bytes(maps).keys() == operations().keys() >= LOOPS.keys()
    assert min(floor_bytes(maps).values()) > maps.feat.numel() * 4


def test_extra_memory_is_that_at_the_peak():
    def work() -> torch.Tensor:
        first = torch.ones(1000, dtype=torch.float64)
        del first
        second = torch.ones(2000, dtype=torch.float64)
        third = torch.ones(500, dtype=torch.float64)
        del third
        return second

    assert extra_memory(work, 'cpu') == pytest.approx(20_000, abs=500)


def test_functions_are_called_in_turn():
    calls = []
    functions = {name: lambda name=name: calls.append(name) for name in 'ab'}
    times = time_in_turn(functions, 3, 'cpu')
    assert ''.join(calls) == 'ab' * 5  # twice to warm up
    for found in times.values():
        assert 0 <= found['least'] <= found['p10']
        assert found['p10'] <= found['median'] <= found['p90']


def test_the_name_of_a_form():
    assert str(Form()) == 'fp32'
    assert str(Form('bf16', True, True)) == 'bf16, channels-last, compiled'
