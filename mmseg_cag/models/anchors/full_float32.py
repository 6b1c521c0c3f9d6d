# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32(device_type: str) -> Iterator[None]:
    """Compute in all 24 bits of float32 inside, whatever is set outside.

    Autocast is off, and so are the shortcuts that a program may allow for
    float32 products: TF32 on GPUs (which cuDNN takes by default), bfloat16 on
    CPUs.

    Args:
        device_type: Type of the device that computes.
    """
    shortcuts = SHORTCUTS.get(device_type, NO_SHORTCUTS)
    shortcuts.forbid()
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        shortcuts.put_back()


class _Shortcuts:
    """Settings of a device type, put back when the last thread is done.

    They belong to the process: a thread that came second must not take the
    exact values of the first for those to put back.

    Args:
        device_type: Type of the device that computes.
    """

    def __init__(self, device_type: str) -> None:
        self._settings = list(_settings(device_type))
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list = []

    def forbid(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            self._before = [
                getattr(owner, name) for owner, name, _ in self._settings
            ]
            for owner, name, exact in self._settings:
                setattr(owner, name, exact)

    def put_back(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside:
                return
            for (owner, name, _), value in zip(
                self._settings, self._before, strict=True
            ):
                setattr(owner, name, value)


def _settings(device_type: str) -> Iterator[tuple[object, str, str | bool]]:
    """List owner, name and exact value of the settings of this torch."""
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    cpu = torch.backends.mkldnn
    named = hasattr(cudnn, 'conv')  # torch 2.9 and later
    if device_type == 'cuda' and named:
        for owner in (cuda.matmul, cudnn.conv):
            yield owner, 'fp32_precision', 'ieee'
    elif device_type == 'cuda':
        for owner in (cuda.matmul, cudnn):
            yield owner, 'allow_tf32', False
    elif device_type == 'cpu' and named:
        for owner in (cpu.matmul, cpu.conv):
            yield owner, 'fp32_precision', 'ieee'


SHORTCUTS = {kind: _Shortcuts(kind) for kind in ('cuda', 'cpu')}
NO_SHORTCUTS = _Shortcuts('another')
