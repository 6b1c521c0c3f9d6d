# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A part of a GPU day whose own work is broken says so."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from gpu_day import (
    anchors,
    gpu_tests,
    loading,
    machine,
    recipes,
    release,
    training,
)
from gpu_day.precision import allow_tf32
from gpu_day.setup import GIB, NO_TIME, NotHereError, Setup, require_gpu
from gpu_day.tables import make_tables
from mmengine.config import Config
from speed import measure

from tests.gpu import conftest, methods, test_steps

OPTIONS = '[tool.pytest.ini_options]\nmarkers = ["gpu: of a GPU"]\n'
BROKEN = """
import pytest

@pytest.mark.gpu
@pytest.mark.parametrize('number', [1, 2])
def test_x(number):
    assert number == 2
"""


@pytest.fixture
def setup(tmp_path) -> Setup:
    """What a part gets in a rehearsal."""
    ends = time.monotonic() + 60
    return Setup('cpu', True, ends, tmp_path, {}, lambda found: None)


def test_a_product_that_is_wrong(setup, monkeypatch):
    product = torch.Tensor.__matmul__

    def spoilt(a, b):
        wrong = a.dtype == torch.bfloat16
        return product(a, b) * (1.1 if wrong else 1)

    monkeypatch.setattr(torch.Tensor, '__matmul__', spoilt)
    [fault] = machine.check(machine.measure(setup), True)
    assert fault.startswith('product in bf16: error 1.0e-01')


def test_a_test_that_fails(setup, monkeypatch, tmp_path):
    monkeypatch.setenv(gpu_tests.REHEARSE, '1')
    folder = tmp_path / 'tests/gpu'
    folder.mkdir(parents=True)
    (folder / 'test_broken.py').write_text(BROKEN)
    (tmp_path / 'pyproject.toml').write_text(OPTIONS)
    monkeypatch.setattr(gpu_tests, 'TESTS', folder)
    [fault] = gpu_tests.check(gpu_tests.measure(setup), False)
    assert fault == 'test_broken.py::test_x[1]: assert 1 == 2'


def test_an_operation_that_computes_nothing(setup, monkeypatch):
    operations = measure.operations()
    operations['pseudo labels'] = lambda maps: None
    monkeypatch.setattr(measure, 'operations', lambda: operations)
    results = anchors.measure(setup)
    faults = anchors.check(results, False)
    assert len(faults) == len(results['forms'])
    assert all('pseudo labels' in f and 'half of the' in f for f in faults)


def form_of(whole: float = 9.0, passes: float = 8.0, **more) -> dict:
    """What (d) finds of a form."""
    times = dict(whole=dict(median=whole), passes=dict(median=passes))
    for found in times.values():
        found.update(p10=1.0, p90=99.0)
    return dict(times, loss=1.0, active=1.0, memory=5e9) | more


def test_a_form_that_labels_otherwise(setup, monkeypatch):
    labels = iter([torch.zeros(4), torch.tensor([0, 0, 0, 1])])

    def measure_form(*arguments):
        return form_of(), next(labels)

    monkeypatch.setattr(release, 'measure_form', measure_form)
    [fault] = release.check(release.measure(setup), False)
    assert '75.0 % of the labels' in fault


@pytest.mark.parametrize(
    ('passes', 'told'), [(11.0, []), (12.0, ['step 10.0 ms, passes 12.0'])]
)
def test_a_step_faster_than_its_passes(passes, told):
    form = form_of(10.0, passes, agreement=1.0)
    results = dict(forms=dict(bf16=form))
    assert release.check(results, True) == []
    assert release.check(results, False) == [f'bf16: {line}' for line in told]


def test_a_recipe_that_fails(setup, monkeypatch, tmp_path):
    def fail(cfg, setup):
        raise ValueError('no such class')

    monkeypatch.setattr(recipes, 'make_frames', lambda setup: tmp_path)
    monkeypatch.setattr(recipes, 'measure_recipe', fail)
    for name in ('GTA_ROOT', 'CITYSCAPES_ROOT'):
        monkeypatch.setenv(name, '')
    results = recipes.measure(setup)
    faults = recipes.check(results, True)
    assert len(faults) == len(results['recipes']) == 2
    assert all('ValueError: no such class' in fault for fault in faults)


class SourceAlone(list):
    """A loader that forgets the target."""

    num_workers = 1

    def __iter__(self):
        while True:
            yield dict(inputs=dict(source=[torch.zeros(3, 8, 8)]))


def test_a_loader_without_the_target(setup, monkeypatch, tmp_path):
    monkeypatch.setattr(loading, 'make_frames', lambda setup: tmp_path)
    for name in ('GTA_ROOT', 'CITYSCAPES_ROOT', 'INPUT_CACHE'):
        monkeypatch.setenv(name, '')
    monkeypatch.setattr(
        loading.Runner, 'build_dataloader', lambda *args, **kw: SourceAlone()
    )
    faults = loading.check(loading.measure(setup), True)
    assert len(faults) == len(loading.FORMS)
    assert all("{'source': [3, 8, 8]}" in fault for fault in faults)


def test_a_training_that_diverges(setup, monkeypatch, tmp_path):
    def train(cfg, setup, seconds):
        return dict(iters=3, seconds=1, miou=5.0, loss=float('nan')), Path('x')

    monkeypatch.setenv('MINITOWN_ROOT', '')
    monkeypatch.setattr(training, 'wait_for_towns', lambda setup: tmp_path)
    monkeypatch.setattr(training, 'train', train)
    faults = training.check(training.measure(setup), True)
    assert len(faults) == len(training.SHARES)
    assert all('NaN' in fault for fault in faults)


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of this many free GiB, or whose driver does not fit."""

    def pretend(free: float = 80, error: Exception | None = None) -> None:
        ones = torch.ones

        def first(number, device):
            if error:
                raise error
            return ones(number)

        monkeypatch.setattr(torch.version, 'cuda', '13.0')
        monkeypatch.setattr(torch, 'ones', first)
        monkeypatch.setattr(
            torch.cuda, 'mem_get_info', lambda: (free * GIB, 80 * GIB)
        )

    return pretend


def test_too_little_memory(gpu):
    gpu(free=3.5)
    require_gpu(2)
    with pytest.raises(NotHereError) as caught:
        require_gpu(16)
    told = 'needs 16 GiB of GPU memory, 3.5 are free'
    assert str(caught.value) == told


def test_a_driver_that_does_not_fit(gpu):
    gpu(error=RuntimeError('The NVIDIA driver is too old\nUpdate it'))
    with pytest.raises(NotHereError) as caught:
        require_gpu(2)
    assert str(caught.value) == 'no GPU: The NVIDIA driver is too old'


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, which the test moves on."""
    now = [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    return now


def on_a_gpu(clock: list[float], tmp_path: Path, left: float) -> Setup:
    """A part's setup, not rehearsed, with some seconds left."""
    ends = clock[0] + left
    return Setup('cpu', False, ends, tmp_path, {}, lambda found: None)


def test_forms_that_do_not_fit_are_not_begun(clock, tmp_path, monkeypatch):
    def measure_form(cfg, form, batch, setup):
        clock[0] += 3
        return form_of(), torch.ones(2)

    monkeypatch.setattr(release, 'measure_form', measure_form)
    monkeypatch.setattr(release, 'FIRST', (3, 0))
    monkeypatch.setattr(release, 'draw_batch', lambda cfg, block: {})
    setup = on_a_gpu(clock, tmp_path, 7)
    found = release.measure(setup)
    assert setup.left == 1
    done = [k for k, v in found['forms'].items() if 'fault' not in v]
    assert done == ['fp32', 'bf16, channels-last']
    assert found['forms']['fp16']['fault'] == NO_TIME
    assert release.check(found, False) == []
    # The compiled form, which takes longest, keeps TF32 waiting no more.
    found = release.measure(on_a_gpu(clock, tmp_path, 62))
    assert 'fault' not in list(found['forms'].values())[3]
    assert list(found['forms'])[2] == 'TF32'
    assert 'compiled' in list(found['forms'])[3]


def test_tf32_is_allowed_in_all_settings_of_torch_and_put_back():
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn

    def settings() -> list:
        return [
            cuda.allow_tf32,
            cudnn.allow_tf32,
            torch.get_float32_matmul_precision() != 'highest',
            *(
                getattr(owner, 'fp32_precision', None)
                for owner in (cuda, getattr(cudnn, 'conv', cudnn))
            ),
        ]

    before = settings()
    for allowed in (True, False):
        with allow_tf32(allowed):
            # Of two that differ torch would refuse to read one.
            assert settings()[:3] == [allowed] * 3
    assert settings() == before


def test_a_part_without_time_is_no_success(clock, tmp_path, monkeypatch):
    monkeypatch.setattr(release, 'draw_batch', lambda cfg, block: {})
    setup = on_a_gpu(clock, tmp_path, 2)
    found = release.measure(setup)
    assert release.check(found, False) == ['no form was measured']
    monkeypatch.setattr(training, 'wait_for_towns', lambda setup: tmp_path)
    monkeypatch.setenv('MINITOWN_ROOT', '')
    found = training.measure(setup)
    assert training.check(found, False) == ['nothing was trained']


def test_operations_that_do_not_fit(clock, tmp_path, monkeypatch):
    def measure_operations(shape, classes, *arguments, **keywords):
        clock[0] += classes / 19
        found = dict(median=1.0, p10=1.0, p90=1.0, floor=1.0, memory=0.0)
        return dict(labels=dict(found, loop=None))

    monkeypatch.setattr(anchors, 'measure_operations', measure_operations)
    setup = on_a_gpu(clock, tmp_path, 20)
    found = anchors.measure(setup)
    assert setup.left >= 0
    assert len(found['forms']) == 5  # four with few classes, one with many
    assert len(found['left']) == 3
    part = dict(title='c', results=found)
    [(_, rows)] = make_tables(dict(parts=dict(c=part)))
    assert rows[-1][0] == 'no time was left for 3'
    assert rows[-1][1].startswith('bf16, channels-last, 150 classes; bf16,')


class Timed:
    """A trainer whose second form fails."""

    def __init__(self, cfg, batch, device):
        self.forms = 0

    def compute_in(self, amp):
        self.forms += 1


def test_recipes_that_do_not_fit(clock, tmp_path, monkeypatch):
    saved = []

    def time_steps(trainer, device, seconds):
        if trainer.forms == 2 and not saved[1:]:
            raise RuntimeError('no second form')
        clock[0] += 3
        return dict(ms=1.0, peak=None, log=dict(loss=1.0))

    images = dict(source=[torch.zeros(3, 4, 8)])
    monkeypatch.setattr(recipes, 'make_frames', lambda setup: tmp_path)
    paths = [Path(f'method/{number}.py') for number in range(5)]
    cfg = Config(
        dict(
            train_dataloader=dict(batch_size=4, dataset=dict(domains={})),
            train_cfg=dict(max_iters=9),
            optim_wrapper=dict(type='OptimWrapper'),
        )
    )
    monkeypatch.setattr(recipes, 'LONGEST', (6, 0))
    monkeypatch.setattr(recipes, 'recipes', lambda: paths)
    monkeypatch.setattr(recipes, 'read_config', lambda path: cfg)
    monkeypatch.setattr(recipes, 'total_iters', lambda loop: loop.max_iters)
    monkeypatch.setattr(recipes, 'load_batch', lambda cfg: dict(inputs=images))
    monkeypatch.setattr(recipes, 'Trainer', Timed)
    monkeypatch.setattr(recipes, 'time_steps', time_steps)
    monkeypatch.setattr(recipes, 'time_updates', lambda *_: {})
    for name in ('GTA_ROOT', 'CITYSCAPES_ROOT'):
        monkeypatch.setenv(name, '')
    setup = on_a_gpu(clock, tmp_path, 26)
    setup.save = lambda found: saved.append(
        [list(recipe['forms']) for recipe in found['recipes'].values()]
    )
    found = recipes.measure(setup)
    # Each form is kept as soon as it is done, whatever comes after.
    assert saved[:3] == [[['TF32']], [['TF32']], [['TF32'], ['TF32']]]
    first, second, *_ = found['recipes'].values()
    assert first['fault'] == 'RuntimeError: no second form'
    assert list(first['forms']) == ['TF32']
    assert list(second['forms']) == ['TF32', 'bf16']
    assert setup.left >= 0
    assert found['left'] == ['method/4']
    part = dict(title='e', results=found)
    [(_, rows)] = make_tables(dict(parts=dict(e=part)))
    assert [row[1] for row in rows[1:3]] == [first['fault'], '4 x 8 x 4']
    assert rows[-1][:2] == ['no time was left for 1', 'method/4']
    assert len(rows[-1]) == len(rows[0])


@pytest.mark.parametrize('kept', [{}, dict(fp32=dict(fault='too little'))])
def test_nothing_is_compared_with_another_form(kept):
    forms = kept | dict(TF32=form_of(), bf16=form_of(whole=4.0))
    part = dict(title='d', results=dict(forms=forms, batch=4, iters=9))
    [(_, rows)] = make_tables(dict(parts=dict(d=part)))
    heads, *rows = rows
    for row in rows[len(kept) :]:
        named = dict(zip(heads, row, strict=True))
        assert (named['times fp32'], named['labels as in fp32, %']) == ('', '')
        assert named['step, ms']


def test_a_form_without_the_first_one(setup, monkeypatch, capsys):
    def measure_form(cfg, form, batch, setup):
        if form == release.Form():
            raise RuntimeError('too little memory')
        return form_of(), torch.zeros(4)

    monkeypatch.setattr(release, 'measure_form', measure_form)
    results = release.measure(setup)
    [fault] = release.check(results, False)
    assert fault == 'fp32: RuntimeError: too little memory'
    assert 'agreement' not in results['forms']['bf16, channels-last']
    assert 'Traceback' in capsys.readouterr().err


def test_labels_that_are_none_are_not_alike():
    form = form_of(active=0.0, agreement=1.0)
    results = dict(forms=dict(fp32=form), batch=4, iters=9)
    assert release.check(results, False) == ['fp32: no pixel has a label']
    [(_, rows)] = make_tables(
        dict(parts=dict(d=dict(title='d', results=results)))
    )
    assert dict(zip(*rows, strict=True))['labels as in fp32, %'] == ''


class Bursts(SourceAlone):
    """A loader of many processes, each of whose batches takes a while."""

    num_workers = 16

    def __init__(self, clock: list[float]) -> None:
        self.clock = clock

    def __iter__(self):
        while True:
            self.clock[0] += 0.125
            images = [torch.zeros(3, 8, 8)]
            yield dict(inputs=dict(source=images, target=images))


# As long as asked for, until there are enough, or until the time is over.
@pytest.mark.parametrize(
    ('left', 'seconds', 'batches'),
    [(60.0, 8.0, [65, 65]), (27.0, 3.0, [64, 64]), (13.0, 3.0, [17, 16])],
)
def test_a_speed_needs_batches(
    left, seconds, batches, clock, tmp_path, monkeypatch
):
    monkeypatch.setattr(loading, 'make_frames', lambda setup: tmp_path)
    for name in ('GTA_ROOT', 'CITYSCAPES_ROOT', 'INPUT_CACHE'):
        monkeypatch.setenv(name, '')
    monkeypatch.setattr(
        loading.Runner, 'build_dataloader', lambda *_, **__: Bursts(clock)
    )
    monkeypatch.setattr(loading, 'SECONDS', (seconds, seconds))
    setup = on_a_gpu(clock, tmp_path, left)
    found = loading.measure(setup)
    assert [form['batches'] for form in found['forms'].values()] == batches
    assert setup.left >= 0
    assert loading.check(found, False) == [
        f'{name}: {number} batches, too few to tell a speed; expected 64'
        for name, number in zip(loading.FORMS, batches, strict=True)
        if number < 64
    ]


def test_the_first_report_of_a_test_tells_why(setup):
    collector = gpu_tests.Collector(setup)
    for told in ('CUDA error: an illegal access', "worker 'gw0' crashed"):
        collector.pytest_runtest_logreport(
            pytest.TestReport('tests/gpu/x', ('', 0, ''), {}, 'failed', told,
                              'call')
        )  # fmt: skip
    assert collector.found['failed'] == dict(x='CUDA error: an illegal access')


def test_a_spoilt_process_ends_after_its_report(monkeypatch):
    def spoilt():
        raise RuntimeError('CUDA error')

    ended = []
    monkeypatch.setenv('PYTEST_XDIST_WORKER', 'gw0')
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.cuda, 'synchronize', spoilt)
    monkeypatch.setattr(conftest.os, '_exit', ended.append)
    report = pytest.TestReport('x', ('', 0, ''), {}, 'failed', 'why', 'call')
    reporting = conftest.pytest_runtest_logreport(report)
    next(reporting)
    assert ended == []  # the report is sent now
    assert next(reporting, None) is None
    assert ended == [1]


def test_what_no_gpu_has_passed_comes_first():
    name = test_steps.test_a_step_waits_for_nothing.__name__
    files = ('test_operations.py::test_in_float32', f'test_steps.py::{name}')
    items = [SimpleNamespace(nodeid=f'tests/gpu/{file}[x]') for file in files]
    conftest.pytest_collection_modifyitems(items)
    assert [name in item.nodeid for item in items] == [True, False]


def test_small_transformers_are_tested_too(monkeypatch):
    monkeypatch.setattr(methods, 'configs_of', lambda folder: [])
    assert methods.names.__wrapped__() == [*methods.TRANSFORMERS]
