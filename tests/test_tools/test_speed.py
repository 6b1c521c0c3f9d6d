# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import time

import pytest
import torch
from mmengine.config import Config
from speed.loops import LOOPS
from speed.memory import extra_memory
from speed.operations import Maps, floor_bytes, operations
from speed.step import Form, Step, pin
from speed.tables import step_note
from speed.teaching import OPERATIONS, Lesson
from speed.timing import time_in_turn, time_steps_in_turn

from tests import tiny
from tests.simulated_gpu import SimulatedGpu

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


@pytest.mark.parametrize('host', [10.0, 60.0, 1000.0])
def test_a_gpu_waits_while_the_host_launches(host, monkeypatch):
    now, slept = [0.0], []

    class Event:
        def __init__(self, enable_timing):
            self.record = lambda: None

        def elapsed_time(self, other):
            return 7.0

    def launch():
        now[0] += host / 1e3

    monkeypatch.setattr(time, 'perf_counter', lambda: now[0])
    monkeypatch.setattr(torch.cuda, 'Event', Event)
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda: None)
    monkeypatch.setattr(torch.cuda, '_sleep', slept.append)
    found = time_in_turn(dict(step=launch), 3, 'cuda')['step']
    assert (found['median'], found['host']) == (7.0, pytest.approx(host))
    # Cycles of a GPU with 2 GHz; a queue that is full ends the head start.
    expected = 2e6 * min(1.5 * host, 150)
    assert slept == pytest.approx([expected] * 3)


@pytest.mark.parametrize(
    ('host', 'gpu', 'step'), [(60.0, 7.0, 60.0), (2.0, 40.0, 40.0)]
)
def test_a_step_takes_as_long_as_its_launches(host, gpu, step, monkeypatch):
    card = SimulatedGpu(monkeypatch)
    functions = dict(step=lambda: card.call(host, gpu))
    found = time_steps_in_turn(functions, 3, 'cuda')['step']
    assert found['median'] == pytest.approx(step)
    assert found['gpu']['median'] == pytest.approx(gpu)
    assert found['gpu']['host'] == pytest.approx(host)


def test_a_pinned_batch_is_the_same(monkeypatch):
    pinned = []

    def pin_memory(tensor):
        pinned.append(tensor)
        return tensor.clone()

    monkeypatch.setattr(torch.Tensor, 'pin_memory', pin_memory)
    batch = tiny.raw_batch()
    found = pin(batch)
    assert len(pinned) == 6  # two images of each domain, labels of the source
    for one, other in zip(
        batch['data_samples']['source'],
        found['data_samples']['source'],
        strict=True,
    ):
        assert one.metainfo == other.metainfo
        assert one.gt_sem_seg.data is not other.gt_sem_seg.data
        assert torch.equal(one.gt_sem_seg.data, other.gt_sem_seg.data)


def test_a_compiled_step_compiles_each_network_once(monkeypatch):
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module,
        'compile',
        lambda module: compile_module(module, backend=backend),
    )
    cfg = Config(
        dict(model=tiny.cag(), optim_wrapper=dict(
            type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3)
        ))
    )  # fmt: skip
    step = Step(cfg, Form('bf16', compiled=True), 'cpu', tiny.raw_batch())
    for call in (step.labels, step.whole, step.passes, step.anchors):
        call()
    first = len(compiled)
    for call in (step.whole, step.losses, step.labels, step.anchors):
        call()
    # The student's in training and the teacher's.
    assert (first, len(compiled)) == (2, 2)


@pytest.mark.parametrize(
    ('active', 'told'),
    [(0.5, 'by anchors, 25.000 % the same in both.'), (0.0, 'by anchors.')],
)
def test_labels_are_compared_where_there_are_any(active, told):
    form = dict(whole=dict(median=2.0))
    results = dict(
        config='cag.py',
        batch=2,
        size=(4, 8),
        stages=1,
        stage_iters=9,
        active=active,
        agreement=0.25,
        forms=dict(fp32=form, bf16=form),
    )
    assert step_note(results).endswith(told)
