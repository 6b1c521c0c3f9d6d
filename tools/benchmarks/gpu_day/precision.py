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
    # These set the newer ``fp32_precision``, too: torch raises an error where
    # it reads one, as a compiler does, and the two differ.
    settings = [(owner, 'allow_tf32') for owner in (cuda.matmul, cudnn)]
    if hasattr(cudnn, 'conv'):  # torch 2.9 and later
        owners = (cuda.matmul, cudnn.conv, cudnn.rnn)
        settings += [(owner, 'fp32_precision') for owner in owners]
    before = [getattr(owner, name) for owner, name in settings]
    for owner, name in settings[:2]:
        setattr(owner, name, allowed)
    try:
        yield
    finally:
        for (owner, name), old in zip(settings, before, strict=True):
            setattr(owner, name, old)
