# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmseg.registry import OPTIM_WRAPPERS
from torch import Tensor, nn


@OPTIM_WRAPPERS.register_module()
class JointOptimWrapper(OptimWrapperDict):
    """Several optimizers stepped after one backward pass.

    The loss is the sum of all members' losses, and the model ensures that each
    reaches only its own parameters (`AdversarialSegmentor`). Then one backward
    pass and a step of each equals the alternating loop of the papers, with the
    stock ``train_step`` of a model and its distributed wrapper.

    Accumulation, precision and gradient synchronisation are the first
    member's; each member clips its own gradients. Under AMP all share one loss
    scale, and only a member whose gradients overflow skips its step.

    Args:
        **members: Optimizer wrappers by name, of the same type and
            ``accumulative_counts``. `JointOptimWrapperConstructor` makes them.
    """

    def __init__(self, **members: OptimWrapper) -> None:
        super().__init__(**members)
        self.lead = next(iter(members.values()))
        if isinstance(self.lead, AmpOptimWrapper):
            for member in self.values():
                member.loss_scaler = self.lead.loss_scaler

    def update_params(
        self,
        loss: Tensor,
        step_kwargs: dict | None = None,
        zero_kwargs: dict | None = None,
    ) -> None:
        """Run backward once and, when gradients are complete, step all."""
        # Same order as in a single wrapper; the parts are overridden below.
        OptimWrapper.update_params(self, loss, step_kwargs, zero_kwargs)

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Divide the loss by the number of accumulated batches."""
        return self.lead.scale_loss(loss)

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Run backward and count the batch."""
        self.lead.backward(loss, **kwargs)

    def should_update(self) -> bool:
        """Return whether enough batches are accumulated."""
        return self.lead.should_update()

    def should_sync(self) -> bool:
        """Return whether ranks exchange gradients in the next backward."""
        return self.lead.should_sync()

    def step(self, **kwargs: Any) -> None:
        """Step every member."""
        if not isinstance(self.lead, AmpOptimWrapper):
            for member in self.values():
                member.step(**kwargs)
            return
        # A member's own step would change the scale for the next one.
        scaler = self.lead.loss_scaler
        for member in self.values():
            if member.clip_grad_kwargs:
                scaler.unscale_(member.optimizer)
                member._clip_grad()
            scaler.step(member.optimizer, **kwargs)
        scaler.update(self.lead._scale_update_param)

    def optim_context(self, model: nn.Module) -> AbstractContextManager:
        """Context of the forward pass: precision and synchronisation."""
        return self.lead.optim_context(model)

    def initialize_count_status(
        self, model: nn.Module, cur_iter: int, max_iters: int
    ) -> None:
        """Set the run's progress, for accumulation."""
        self.lead.initialize_count_status(model, cur_iter, max_iters)

    @property
    def inner_count(self) -> int:
        """Number of processed batches."""
        return self.lead.inner_count
