# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from mmseg.registry import HOOKS

from mmseg_cag.engine.runtime import malloc_hook

# Prints how many pages a few tensors of 64 MB fetch, before and after; at
# least, as other things may come to lie where a tensor was.
PROGRAM = """
import resource, torch
from mmseg_cag.engine.runtime.malloc_hook import keep_freed_memory

def pages():
    torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = min(pages() for _ in range(8))
assert keep_freed_memory()
print('pages', before, min(pages() for _ in range(8)))
"""


@pytest.mark.long
def test_memory_is_used_again():
    # The setting is the process's, and stays.
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    before, after = map(int, done.stdout.split('pages')[1].split())
    assert after < before / 10


@pytest.mark.parametrize(('device', 'times'), [('cpu', 1), ('meta', 0)])
def test_only_where_the_processor_computes(device, times, monkeypatch):
    calls = []
    monkeypatch.setattr(
        malloc_hook, 'keep_freed_memory', lambda: calls.append(1)
    )
    model = torch.nn.Linear(1, 1, device=device)
    hook = HOOKS.build(dict(type='MallocHook'))
    hook.before_train(SimpleNamespace(model=model))
    assert len(calls) == times


@pytest.mark.parametrize('error', [AttributeError, TypeError])
def test_other_libraries_are_left_alone(error, monkeypatch):
    def no_library(name: None) -> None:
        raise error

    monkeypatch.setattr(malloc_hook.ctypes, 'CDLL', no_library)
    assert not malloc_hook.keep_freed_memory()


def test_a_library_may_take_32_mb_at_most(monkeypatch):
    calls = []

    def mallopt(setting: int, value: int) -> int:
        calls.append((setting, value))
        return int(setting == -1 or value <= 2**25)

    library = SimpleNamespace(mallopt=mallopt)
    monkeypatch.setattr(malloc_hook.ctypes, 'CDLL', lambda _: library)
    assert malloc_hook.keep_freed_memory()
    assert calls[-1] == (-3, 2**25)
