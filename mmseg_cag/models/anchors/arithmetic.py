# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# legend: N images, C feature channels, h w feature map

# Numbers of a band: 4 MB in float32, which a processor's caches hold.
CPU_CHUNK = 2**20
# A GPU's time goes into launches, so there the bands only bound the memory.
CUDA_CHUNK = 2**24


def split_bands(
    feat: Tensor, *others: Tensor, most: int | None = None
) -> Iterator[tuple[Tensor, ...]]:
    """Cut maps into bands of rows, over all images at once.

    What is derived from a band stays in the cache, and takes the memory of a
    band, where that of the whole map would be written out and read again.

    Args:
        feat: Features (N, C, h, w), whose size decides on that of a band.
        *others: Further maps (..., h, w) that are cut alike.
        most: Pixels of an image that a band has at most, but for those of a
            single row; None for any number.

    Yields:
        The band of each map, as views.
    """
    limit = CPU_CHUNK if feat.is_cpu else CUDA_CHUNK
    n, c, _, w = feat.shape
    rows = limit // max(n * c * w, 1)
    if most is not None:
        rows = min(rows, most // w)
    rows = max(rows, 1)
    yield from zip(
        *(part.split(rows, dim=-2) for part in (feat, *others)), strict=True
    )


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


def cumulative_sum(values: Tensor) -> Tensor:
    """Sum each column of (..., n) with those before it, by a product.

    On a GPU `torch.cumsum` of floats is not the same in each run, and refused
    where a run is to be deterministic.
    """
    until = values.new_ones(values.shape[-1], values.shape[-1]).triu()
    with full_float32(values.device.type):
        return values @ until


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
