# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

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
    switches = list(_switches())
    before = [getattr(owner, name) for owner, name, _ in switches]
    for owner, name, exact in switches:
        setattr(owner, name, exact)
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        for (owner, name, _), value in zip(switches, before, strict=True):
            setattr(owner, name, value)


def _switches() -> Iterator[tuple[object, str, str | bool]]:
    """List owner, name and exact value of the settings of this torch."""
    backends = torch.backends
    if hasattr(backends.cudnn, 'conv'):  # torch 2.9 and later
        for owner in (
            backends.cuda.matmul,
            backends.cudnn.conv,
            backends.mkldnn.matmul,
            backends.mkldnn.conv,
        ):
            yield owner, 'fp32_precision', 'ieee'
    else:
        yield backends.cuda.matmul, 'allow_tf32', False
        yield backends.cudnn, 'allow_tf32', False
