# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections import deque

from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from .step_losses import StepLosses, take_arrived


@HOOKS.register_module()
class LossLogHook(RuntimeInfoHook):
    """mmengine's hook of this kind, without a wait for the device each step.

    The losses of a step are handed to the log while the next one computes;
    only where the log is written they are waited for. What it holds is the
    same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: deque[StepLosses] = deque()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Hand over the losses that have arrived."""
        self.steps.append(StepLosses(outputs, runner.iter + 1, []))
        for step in take_arrived(self.steps, wait=log_is_due(runner)):
            super().after_train_iter(
                runner, batch_idx, data_batch, step.read()
            )


def log_is_due(runner: Runner) -> bool:
    """Tell whether the log is written after this iteration."""
    done = runner.iter + 1
    return done == runner.max_iters or any(
        isinstance(hook, LoggerHook) and done % hook.interval == 0
        for hook in runner.hooks
    )
