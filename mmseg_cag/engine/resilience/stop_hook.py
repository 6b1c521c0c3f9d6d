# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.engine.loops import UDATrainLoop, require_uda_loop

from .signals import guard_workers


@HOOKS.register_module()
class StopHook(Hook):
    """Finish the step on SIGTERM or SIGINT, save and exit with code 75.

    Several ranks stop after the same step: they synchronise at an interval. A
    single process can also stop within a validation, which the resumed run
    repeats. A second signal ends the process at once.

    Args:
        interval: Iterations between queries among several ranks.
    """

    # Until the data are checked a signal ends the process at once.
    priority = 'LOWEST'

    def __init__(self, interval: int = 5) -> None:
        self.interval = interval
        self._loop: UDATrainLoop | None = None  # training only

    def before_train(self, runner: Runner) -> None:
        """Install the signal handlers.

        Raises:
            UserError: The loop cannot stop, or no hook can save the state.
        """
        self._loop = require_uda_loop(runner, self)
        self._loop.stop_on_signals(self.interval)

    def before_test(self, runner: Runner) -> None:
        """Prevent hanging workers in a test."""
        guard_workers(runner.test_loop.dataloader)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list | None = None,
    ) -> None:
        """Stop within a validation during training."""
        if self._loop is not None:
            self._loop.stop_in_validation()
