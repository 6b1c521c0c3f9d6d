# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def allow_tf32(allowed: bool) -> Iterator[None]:
    """Set the precision of float32 products and convolutions on a GPU.

    Args:
        allowed: Whether to use TF32, with 10 mantissa bits; else all 24 bits.
    """
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    if hasattr(cudnn, 'conv'):  # torch 2.9 and later
        owners, name = (cuda.matmul, cudnn.conv), 'fp32_precision'
        value = 'tf32' if allowed else 'ieee'
    else:
        owners, name, value = (cuda.matmul, cudnn), 'allow_tf32', allowed
    before = [getattr(owner, name) for owner in owners]
    for owner in owners:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, old in zip(owners, before, strict=True):
            setattr(owner, name, old)
