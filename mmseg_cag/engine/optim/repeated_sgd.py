# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmseg.registry import OPTIMIZERS
from torch import Tensor

from mmseg_cag.errors import UserError


@OPTIMIZERS.register_module()
class RepeatedSGD(torch.optim.SGD):
    """SGD that updates some parameters several times per gradient.

    The releases of AdaptSegNet, CLAN, BDL and ProDA pass each backbone weight
    to the optimizer once per enclosing module, and the SGD of their PyTorch
    version updates it that often: convolutions of blocks 3 times, of shortcuts
    4 times. With gradient g, momentum buffer v and parameter p, n times:

    .. code:: text

       g <- g + weight_decay p       into the gradient, so it accumulates
       v <- momentum v + g
       p <- p - lr v

    It updates group by group: use `MergedOptimWrapperConstructor`, with which
    there are few.

    Args:
        params: Parameters or groups; n is the group's ``repeats``, 1 if not
            set. In a config: ``paramwise_cfg=dict(custom_keys={'layer':
            dict(repeats=3), 'downsample': dict(repeats=4)})``.
        lr: Learning rate.
        momentum: Momentum.
        weight_decay: Weight decay.
        accumulate_decay: Whether decay accumulates in the gradient, as in
            PyTorch up to about 1.4; else each repeat starts from the original
            gradient, as in 1.5 to 1.8.

    Raises:
        UserError: A ``repeats`` is not a positive integer.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        accumulate_decay: bool = True,
    ) -> None:
        super().__init__(
            params, lr=lr, momentum=momentum, weight_decay=weight_decay
        )
        self.accumulate_decay = accumulate_decay
        for group in self.param_groups:
            repeats = group.setdefault('repeats', 1)
            if not isinstance(repeats, int) or repeats < 1:
                raise UserError(
                    f'RepeatedSGD: repeats={repeats!r}, expected a whole '
                    'number from 1'
                )

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> Tensor | None:
        """Update all parameters that have a gradient.

        Args:
            closure: Recomputes the loss, as for torch's optimizers.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        keys = ('lr', 'momentum', 'weight_decay', 'repeats')
        for group in self.param_groups:
            params = [p for p in group['params'] if p.grad is not None]
            if params:
                self._update(params, *(group[key] for key in keys))
        return loss

    def _update(
        self,
        params: list[Tensor],
        lr: float,
        momentum: float,
        decay: float,
        repeats: int,
    ) -> None:
        buffers = [self._buffer_of(p) for p in params]
        given = [p.grad for p in params]
        grads = given
        for _ in range(repeats):
            start = grads if self.accumulate_decay else given
            grads = torch._foreach_add(start, params, alpha=decay)
            torch._foreach_mul_(buffers, momentum)
            torch._foreach_add_(buffers, grads)
            torch._foreach_add_(params, buffers, alpha=-lr)

    def _buffer_of(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if 'momentum_buffer' not in state:
            state['momentum_buffer'] = torch.zeros_like(parameter)
        return state['momentum_buffer']
