# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Tests of a GPU: `pytest -m gpu`; skipped where there is none.

With REHEARSE_GPU=1 they run on the CPU, as far as it has what they test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

# Before anything computes on a GPU: products that are the same in each run.
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')

import pytest
import torch

from tests.gpu.methods import names


def find_device() -> str | None:
    if torch.cuda.is_available():
        return 'cuda'
    return 'cpu' if os.environ.get('REHEARSE_GPU') else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give tests of a method all of them, which only a device needs."""
    if 'method' in metafunc.fixturenames:
        methods = names() if find_device() else ['each method']
        metafunc.parametrize('method', methods)


@pytest.fixture(scope='session')
def device() -> str:
    found = find_device()
    if found is None:
        pytest.skip('no GPU that torch can use')
    return found


@pytest.fixture()
def on_gpu(device: str) -> None:
    """What a CPU has nothing like."""
    if device != 'cuda':
        pytest.skip('of a GPU alone')


@pytest.fixture()
def exact(device: str) -> Iterator[None]:
    """Let float32 be float32, which no network is computed in by default."""
    from gpu_day.precision import allow_tf32

    with allow_tf32(False):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> Iterator[None]:
    """End a process whose GPU a test has spoilt: another one goes on.

    Only after the test's own report is sent.
    """
    yield
    if not report.failed or not os.environ.get('PYTEST_XDIST_WORKER'):
        return
    try:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
    except RuntimeError:
        os._exit(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what no GPU has passed yet first: time may run out."""
    items.sort(key=lambda item: not is_first(item.nodeid))


def is_first(name: str) -> bool:
    return 'gpu/test_steps.py::test_a_step_waits_for_nothing' in name
