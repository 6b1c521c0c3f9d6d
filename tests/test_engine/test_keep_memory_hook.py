# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import resource
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmseg.registry import HOOKS

from mmseg_cag.engine import keep_memory_hook
from tests.faults.child import Child

LARGE = 2**24  # numbers, 64 MB


def faults() -> int:
    """Count the pages that this process fetches for a few large tensors."""
    torch.ones(LARGE)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(LARGE)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def least_faults() -> int:
    """Other things of the process may come to lie where a tensor was."""
    return min(faults() for _ in range(8))


def test_memory_is_used_again(tmp_path: Path):
    def work() -> None:
        before = least_faults()
        assert keep_memory_hook.keep_freed_memory()
        print(before, least_faults())

    # The setting is the process's, so in one of its own.
    child = Child(work, tmp_path / 'log')
    assert child.wait() == 0, child.tail()
    before, after = map(int, child.tail().split())
    assert after < before / 10


@pytest.mark.parametrize(('device', 'times'), [('cpu', 1), ('meta', 0)])
def test_only_where_the_processor_computes(device, times, monkeypatch):
    calls = []
    monkeypatch.setattr(
        keep_memory_hook, 'keep_freed_memory', lambda: calls.append(1)
    )
    model = torch.nn.Linear(1, 1, device=device)
    hook = HOOKS.build(dict(type='KeepMemoryHook'))
    hook.before_train(SimpleNamespace(model=model))
    assert len(calls) == times


@pytest.mark.parametrize('error', [AttributeError, TypeError])
def test_other_libraries_are_left_alone(error, monkeypatch):
    def no_library(name: None) -> None:
        raise error

    monkeypatch.setattr(keep_memory_hook.ctypes, 'CDLL', no_library)
    assert not keep_memory_hook.keep_freed_memory()
