# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mmseg_cag.engine.optim.joint_optim_wrapper import JointOptimWrapper
from mmseg_cag.errors import UserError
from mmseg_cag.models.teacher import Teacher, move


class GuardedOptim:
    """Optimizer wrapper proxy that skips updates with non-finite losses.

    It steps only if the loss is finite on all ranks. The flag is computed
    right after the forward pass and read before the step, when the backward
    pass is already queued. So the host waits at most for the forward pass, and
    the device for nothing.

    Args:
        wrapper: The wrapped optimizer wrapper.

    Raises:
        UserError: It overrides ``update_params``.
    """

    def __init__(self, wrapper: OptimWrapper) -> None:
        known = (OptimWrapper.update_params, JointOptimWrapper.update_params)
        if type(wrapper).update_params not in known:
            raise UserError(
                f'NonFiniteHook: {type(wrapper).__name__} overrides '
                'update_params, expected that of OptimWrapper or '
                'JointOptimWrapper, or default_hooks.non_finite=None'
            )
        self._wrapper = wrapper
        self._finite: Tensor | None = None
        self._fetched: torch.cuda.Event | None = None
        # Set by any batch since the last step, with accumulated gradients.
        self._spoiled = False

    def __getattr__(self, name: str) -> Any:
        """Forward everything else, such as learning rates, to the wrapper."""
        return getattr(self._wrapper, name)

    def optim_context(self, model: nn.Module) -> AbstractContextManager:
        """Context of the forward pass: precision and synchronisation."""
        return self._wrapper.optim_context(model)

    def update_params(
        self,
        loss: Tensor,
        step_kwargs: dict | None = None,
        zero_kwargs: dict | None = None,
    ) -> None:
        """Run backward; step if gradients are complete and losses finite."""
        finite = loss.detach().isfinite().float().reshape(1)
        all_reduce(finite, 'min')
        self._fetch(finite)
        wrapper = self._wrapper
        wrapper.backward(wrapper.scale_loss(loss))
        if not wrapper.should_update():
            self._spoiled |= not self.was_finite()
            return
        if self.was_finite() and not self._spoiled:
            wrapper.step(**(step_kwargs or {}))
        self._spoiled = False
        wrapper.zero_grad(**(zero_kwargs or {}))

    def begin_update(self) -> None:
        """Discard the state of accumulated batches."""
        self._spoiled = False

    def was_finite(self) -> bool:
        """Return whether the last loss was finite on all ranks."""
        if self._fetched is not None:
            self._fetched.synchronize()
        return self._finite is None or bool(self._finite)

    def _fetch(self, finite: Tensor) -> None:
        if not finite.is_cuda:
            self._finite = finite
            return
        if self._fetched is None:
            self._fetched = torch.cuda.Event()
            self._finite = torch.empty(1, pin_memory=True)
        self._finite.copy_(finite, non_blocking=True)
        self._fetched.record()


class KeptBuffers:
    """Backup of state that a forward pass changes, as batch statistics.

    A mean teacher is updated in a forward pass, too.
    """

    def __init__(self) -> None:
        # Buffers by module and name.
        self._kept: list[tuple[nn.Module, str, Tensor]] = []
        self._teachers: list[tuple[Teacher, int, list[Tensor]]] = []

    def keep(self, model: nn.Module) -> None:
        """Copy the buffers of a model and its teachers."""
        self._teachers = [
            (part, part.updates, [p.clone() for p in part.parameters()])
            for part in model.modules()
            if isinstance(part, Teacher) and not part.is_fixed
        ]
        self._kept = [
            (module, name, buffer.clone())
            for module in model.modules()
            for name, buffer in module.named_buffers(recurse=False)
        ]

    @torch.no_grad()
    def restore(self) -> None:
        """Restore the copies."""
        for teacher, updates, kept in self._teachers:
            teacher.updates = updates
            move(teacher.parameters(), kept, 1.0)
        for module, name, kept in self._kept:
            buffer = module.get_buffer(name)
            if buffer.shape == kept.shape:
                buffer.copy_(kept)
            else:  # buffers may grow, such as an image pool
                setattr(module, name, kept)
