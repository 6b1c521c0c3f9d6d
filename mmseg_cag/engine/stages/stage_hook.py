# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from abc import abstractmethod

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_cag.engine.optim.stagewise_poly import StagewisePolyLR
from mmseg_cag.errors import UserError


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
        parts = [*runner.hooks, *(runner.param_schedulers or [])]
        lengths = [
            (type(part).__name__, part.stage_iters)
            for part in parts
            if isinstance(part, StageHook | StagewisePolyLR)
        ]
        check_stage_lengths(lengths, runner.train_loop.max_iters)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Begin a stage if one begins here."""
        if runner.iter % self.stage_iters == 0:
            self.begin_stage(runner)

    @abstractmethod
    def begin_stage(self, runner: Runner) -> None:
        """Do what this hook is for as a stage begins."""


def check_stage_lengths(
    lengths: list[tuple[str, int]], max_iters: int
) -> None:
    """Check that all parts of a run agree on the stages' length.

    Args:
        lengths: Each part that knows the iterations of a stage, with them.
        max_iters: Iterations of the run.

    Raises:
        UserError: They differ, or the run is no multiple of a stage.
    """
    found = ', '.join(f'{name} {value}' for name, value in lengths)
    if len({value for _, value in lengths}) > 1:
        raise UserError(f'stage_iters differ: {found}; expected one length')
    _, length = lengths[0]
    if max_iters % length:
        raise UserError(
            f'train_cfg.max_iters={max_iters} is no multiple of '
            f'stage_iters={length} ({found})'
        )
