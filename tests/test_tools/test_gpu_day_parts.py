# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A part of a GPU day whose own work is broken says so."""

from __future__ import annotations

import time
from pathlib import Path

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
from gpu_day.setup import GIB, NotHereError, Setup, require_gpu
from speed import measure

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


def test_a_form_that_labels_otherwise(setup, monkeypatch):
    labels = iter([torch.zeros(4), torch.tensor([0, 0, 0, 1])])

    def measure_form(*arguments):
        entry = dict(whole=dict(median=9), passes=dict(median=8), loss=1.0)
        return entry, next(labels)

    monkeypatch.setattr(release, 'measure_form', measure_form)
    [fault] = release.check(release.measure(setup), False)
    assert '75.0 % of the labels' in fault


@pytest.mark.parametrize(
    ('passes', 'told'), [(11.0, []), (12.0, ['step 10.0 ms, passes 12.0'])]
)
def test_a_step_faster_than_its_passes(passes, told):
    form = dict(
        whole=dict(median=10.0),
        passes=dict(median=passes),
        loss=1.0,
        agreement=1.0,
    )
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
