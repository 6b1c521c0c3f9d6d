# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# legend: N images, C feature channels, h w feature map

# Elements of a band: 4 MB in float32, which a CPU's caches hold.
CPU_CHUNK = 2**20
# A GPU spends its time on launches: bands only bound the memory there.
CUDA_CHUNK = 2**24


def split_bands(
    feat: Tensor, *others: Tensor, most: int | None = None
) -> Iterator[tuple[Tensor, ...]]:
    """Split maps into bands of rows, across all images at once.

    Temporaries of a band stay in the cache; those of the whole map would go
    through main memory.

    Args:
        feat: Features (N, C, h, w), whose size determines the band size.
        *others: Further maps (..., h, w) to split the same way.
        most: Maximum pixels per image in a band, though at least one row; None
            for no limit.

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
    """Force full float32 precision inside the context.

    Disables autocast and reduced-precision float32 products: TF32 on GPUs
    (cuDNN's default) and bfloat16 on CPUs.

    Args:
        device_type: Type of the compute device.
    """
    shortcuts = SHORTCUTS.get(device_type, NO_SHORTCUTS)
    shortcuts.forbid()
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        shortcuts.put_back()


def cumulative_sum(values: Tensor) -> Tensor:
    """Cumulative sum along the last dimension, by a matrix product.

    On a GPU `torch.cumsum` of floats is not reproducible, and deterministic
    mode refuses it.
    """
    until = values.new_ones(values.shape[-1], values.shape[-1]).triu()
    with full_float32(values.device.type):
        return values @ until


class _Shortcuts:
    """Precision settings of a device type, restored by the last thread.

    The settings are process-wide: a second thread must not save the first
    one's exact values as the ones to restore.

    Args:
        device_type: Type of the compute device.
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
    """List owner, name and exact value of each setting of this torch."""
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
