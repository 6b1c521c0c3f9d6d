# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmseg.registry import PARAM_SCHEDULERS

from mmseg_cag.errors import UserError


@PARAM_SCHEDULERS.register_module()
class PolyRestartLR(LRSchedulerMixin, _ParamScheduler):
    """Polynomial decay of the learning rate that restarts with each stage.

    At iteration i of a stage the factor is (1 - i / T) ** power, except for
    the first W iterations, where it is i / W. Accumulated iterations share the
    rate of their first, which is the rate of the equivalent large batch. The
    length of a stage is set only in ``train_cfg``: the loop passes it as
    ``restart_iters``. Other loops have a single stage.

    Args:
        optimizer: The (wrapped) optimizer.
        power: Exponent of the decay.
        decay_iters: Iterations T until the rate is zero; by default a stage.
            The release stops its stages earlier.
        warmup_iters: Iterations W of a linear warm-up from zero. The decay
            ignores the warm-up, so there is a small step after it (CLAN).
        warmup_from: Initial factor of the warm-up instead of zero; from 2
            iterations on it reaches 1 in its last (VFM-UDA).
        end: Iterations of the run, filled in by mmengine; length of the decay
            if the loop has no stages.
        by_epoch: Must be False, so that mmengine fills in ``end``.
        last_step: As in mmengine's schedulers.
        verbose: As in mmengine's schedulers.

    Attributes:
        restart_iters: Iterations of a stage; None if not set.

    Raises:
        UserError: The unit is an epoch, the decay has no length, or a length
            is negative.
    """

    def __init__(
        self,
        optimizer: object,
        power: float = 0.9,
        decay_iters: int | None = None,
        warmup_iters: int = 0,
        warmup_from: float | None = None,
        end: int | None = None,
        by_epoch: bool = True,
        last_step: int = -1,
        verbose: bool = False,
    ) -> None:
        if by_epoch or not (end or decay_iters):
            raise UserError(
                f'PolyRestartLR: by_epoch={by_epoch}, end={end}, '
                f'decay_iters={decay_iters}; expected by_epoch=False, and end '
                'or decay_iters'
            )
        if decay_iters is not None and decay_iters < 1 or warmup_iters < 0:
            raise UserError(
                f'PolyRestartLR: decay_iters={decay_iters}, '
                f'warmup_iters={warmup_iters}; expected decay_iters from 1, '
                'and warmup_iters from 0'
            )
        self.restart_iters: int | None = None
        self.run_iters = end
        self.power = power
        self.decay_iters = decay_iters
        self.warmup_iters = warmup_iters
        self.warmup_from = warmup_from
        self.update_iters = getattr(optimizer, '_accumulative_counts', 1)
        # Without ``end``: a resumed run may be longer.
        super().__init__(
            optimizer, last_step=last_step, by_epoch=False, verbose=verbose
        )

    def restart_each(self, iters: int) -> None:
        """Set the length of a stage.

        At the end of a run the rate has restarted. In a resumed run with a
        longer stage it is computed again.

        Args:
            iters: Iterations of a stage.
        """
        before, self.restart_iters = self.restart_iters, iters
        if before not in (None, iters):
            rates = self._get_value()
            for group, rate in zip(
                self.optimizer.param_groups, rates, strict=True
            ):
                group[self.param_name] = rate

    def _get_value(self) -> list[float]:
        stage, step = self.restart_iters or self.run_iters, self.last_step
        if self.restart_iters:
            step %= self.restart_iters
        step -= step % self.update_iters
        if step < self.warmup_iters and self.warmup_from is not None:
            rise = (1 - self.warmup_from) / max(1, self.warmup_iters - 1)
            factor = self.warmup_from + step * rise
        elif step < self.warmup_iters:
            factor = step / self.warmup_iters
        else:
            # A stage may be longer than the decay: the rate stays zero.
            share = step / (self.decay_iters or stage)
            factor = max(0.0, 1 - share) ** self.power
        return [base * factor for base in self.base_values]
