# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmseg.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class StagewisePolyLR(LRSchedulerMixin, _ParamScheduler):
    """Polynomial decay of the learning rate that starts afresh each stage.

    At iteration i the factor is (1 - (i mod S) / T) ** power, but for the
    first W of a stage, where it is (i mod S) / W. Iterations whose gradients
    are accumulated have the rate of the first of them: that of the large
    batch in its place.

    Args:
        optimizer: The (wrapped) optimizer.
        stage_iters: Iterations S of a stage.
        decay_iters: Iterations T after which the rate would be zero; by
            default those of a stage. The release stops its stages earlier.
        power: Exponent of the decay.
        warmup_iters: Iterations W of a linear rise from zero; the decay goes
            on as if it had not been, so there is a small step (CLAN).
        last_step: As in mmengine's schedulers.
        verbose: As in mmengine's schedulers.
        end: Left out: mmengine fills it in as if the unit were an epoch, and
            the schedule has no end.
    """

    def __init__(
        self,
        optimizer: object,
        stage_iters: int,
        decay_iters: int | None = None,
        power: float = 0.9,
        warmup_iters: int = 0,
        last_step: int = -1,
        verbose: bool = False,
        end: int | None = None,
    ) -> None:
        self.stage_iters = stage_iters
        self.decay_iters = decay_iters or stage_iters
        self.power = power
        self.warmup_iters = warmup_iters
        self.update_iters = getattr(optimizer, '_accumulative_counts', 1)
        super().__init__(
            optimizer, last_step=last_step, by_epoch=False, verbose=verbose
        )

    def _get_value(self) -> list[float]:
        step = self.last_step % self.stage_iters
        step -= step % self.update_iters
        if step < self.warmup_iters:
            factor = step / self.warmup_iters
        else:
            # A stage may be longer than the decay: the rate stays zero.
            factor = max(0.0, 1 - step / self.decay_iters) ** self.power
        return [base * factor for base in self.base_values]
