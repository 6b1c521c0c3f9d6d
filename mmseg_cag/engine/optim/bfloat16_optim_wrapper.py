# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16, on GPUs and CPUs.

    Bfloat16 has the range of float32: nothing overflows, so it needs no loss
    scale, whose check makes every step of mmengine's `AmpOptimWrapper` wait
    for the device. (Use that one for float16.)

    Args:
        **kwargs: Arguments of mmengine's `OptimWrapper`.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of the forward pass: precision and synchronisation."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
