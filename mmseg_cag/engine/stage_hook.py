# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from abc import abstractmethod

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmseg_cag.errors import UserError

from .stagewise_poly import StagewisePolyLR


class StageHook(Hook):
    """Act where a stage begins: at iterations 0, S, 2S, ...

    What is done there is a function of the weights at that iteration, so a
    run that resumes at a boundary does it again and one that resumes within a
    stage finds its result in the checkpoint.

    Args:
        stage_iters: Iterations S of a stage.
    """

    def __init__(self, stage_iters: int) -> None:
        self.stage_iters = stage_iters

    def before_train(self, runner: Runner) -> None:
        """Check that the whole run agrees on the stages' length.

        Raises:
            UserError: The iterations are no multiple of a stage, or another
                hook or the schedule has stages of another length.
        """
        max_iters = runner.train_loop.max_iters
        if max_iters % self.stage_iters:
            raise UserError(
                f'{type(self).__name__}: train_cfg.max_iters={max_iters} is '
                f'no multiple of stage_iters={self.stage_iters}'
            )
        schedulers = runner.param_schedulers
        for part in [*runner.hooks, *(schedulers or [])]:
            if not isinstance(part, StageHook | StagewisePolyLR):
                continue
            if part.stage_iters != self.stage_iters:
                raise UserError(
                    f'{type(self).__name__}: stage_iters={self.stage_iters}, '
                    f'but {type(part).__name__} has {part.stage_iters}'
                )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Begin a stage if one begins here."""
        if runner.iter % self.stage_iters == 0:
            self.begin_stage(runner)

    @abstractmethod
    def begin_stage(self, runner: Runner) -> None:
        """Do what this hook is for as a stage begins."""


def bare_model(runner: Runner) -> nn.Module:
    """Get the model out of its distributed wrapper."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model
