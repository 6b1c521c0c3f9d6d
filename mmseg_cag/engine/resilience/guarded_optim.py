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
    """What a training step gets as ``optim_wrapper``: it skips bad updates.

    It steps only where the loss is finite, on all ranks. The device tells so
    right after the forward pass; it is asked before the step, when the
    backward pass is queued already. So the host waits for the forward pass at
    most, and the device for nothing.

    Args:
        wrapper: The optimizer's wrapper.

    Raises:
        UserError: It updates in a way of its own.
    """

    def __init__(self, wrapper: OptimWrapper) -> None:
        known = (OptimWrapper.update_params, JointOptimWrapper.update_params)
        if type(wrapper).update_params not in known:
            raise UserError(
                f'NonFiniteHook: {type(wrapper).__name__} has its own '
                'update_params, expected that of OptimWrapper or '
                'JointOptimWrapper, or default_hooks.non_finite=None'
            )
        self._wrapper = wrapper
        self._finite: Tensor | None = None
        self._fetched: torch.cuda.Event | None = None
        # By a batch since the last step, where gradients are accumulated.
        self._spoiled = False

    def __getattr__(self, name: str) -> Any:
        """Get anything else, such as learning rates, from the wrapper."""
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
        """Go backward and, when gradients are complete and finite, step."""
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
        """Forget the batches that were accumulated so far."""
        self._spoiled = False

    def was_finite(self) -> bool:
        """Tell whether the last loss was finite on all ranks."""
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
    """What a forward pass changes, such as batch statistics, as it was.

    A mean teacher moves in a forward pass, too.
    """

    def __init__(self) -> None:
        # Of each module, by name.
        self._kept: list[tuple[nn.Module, str, Tensor]] = []
        self._teachers: list[tuple[Teacher, int, list[Tensor]]] = []

    def keep(self, model: nn.Module) -> None:
        """Copy the buffers of a model, and its teachers."""
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
        """Put them back."""
        for teacher, updates, kept in self._teachers:
            teacher.updates = updates
            move(teacher.parameters(), kept, 1.0)
        for module, name, kept in self._kept:
            buffer = module.get_buffer(name)
            if buffer.shape == kept.shape:
                buffer.copy_(kept)
            else:  # some grow, such as a pool of images
                setattr(module, name, kept)
