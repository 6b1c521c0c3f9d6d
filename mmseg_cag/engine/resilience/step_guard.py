# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor


class StepGuard:
    """Let an optimizer step only where the loss is finite, on all ranks.

    The device tells so right after the forward pass; it is asked before the
    step, when the backward pass is queued already. So the host waits for the
    forward pass at most, and the device for nothing.

    Args:
        wrapper: The optimizer's wrapper; its update and step pass through
            here from now on.
    """

    def __init__(self, wrapper: OptimWrapper | OptimWrapperDict) -> None:
        self._update, self._step = wrapper.update_params, wrapper.step
        wrapper.update_params = self.update_params
        # mmengine's schedules count the steps, and know theirs by a mark.
        wrapper.step = wraps(self._step)(lambda **kwargs: self.step(**kwargs))
        self._finite: Tensor | None = None
        self._fetched: torch.cuda.Event | None = None
        # By a batch since the last step, where gradients are accumulated.
        self._spoiled = False
        # Whether there was a step since the last loss.
        self._stepped = False

    def update_params(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Ask for the loss, then go backward and step."""
        finite = loss.detach().isfinite().float().reshape(1)
        all_reduce(finite, 'min')
        self._fetch(finite)
        self._stepped = False
        self._update(loss, *args, **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Step, or leave all parameters as they are."""
        if self.was_finite() and not self._spoiled:
            self._step(**kwargs)
        self._spoiled, self._stepped = False, True

    def begin_update(self) -> None:
        """Forget the batches that were accumulated so far."""
        self._spoiled = False

    def was_finite(self) -> bool:
        """Tell whether the last loss was finite on all ranks."""
        if self._fetched is not None:
            self._fetched.synchronize()
        finite = bool(self._finite)
        if not self._stepped:
            self._spoiled |= not finite
        return finite

    def _fetch(self, finite: Tensor) -> None:
        if not finite.is_cuda:
            self._finite = finite
            return
        if self._fetched is None:
            self._fetched = torch.cuda.Event()
            self._finite = torch.empty(1, pin_memory=True)
        self._finite.copy_(finite, non_blocking=True)
        self._fetched.record()
