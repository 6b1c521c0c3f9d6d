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

    Of several ranks all do so after the same step: they ask each other from
    time to time. A single process stops within a validation too, which the
    resumed run does again. A second signal ends the process at once.

    Args:
        interval: Iterations from one question to the next, of several ranks.
    """

    # Until the data is checked a signal ends the process at once.
    priority = 'LOWEST'

    def __init__(self, interval: int = 5) -> None:
        self.interval = interval
        self._loop: UDATrainLoop | None = None  # of training alone

    def before_train(self, runner: Runner) -> None:
        """Listen to the signals.

        Raises:
            UserError: The loop cannot stop, or no hook could save then.
        """
        self._loop = require_uda_loop(runner, self)
        self._loop.stop_on_signals(self.interval)

    def before_test(self, runner: Runner) -> None:
        """Let the workers of a test not hang."""
        guard_workers(runner.test_loop.dataloader)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list | None = None,
    ) -> None:
        """Stop within a validation of the training."""
        if self._loop is not None:
            self._loop.stop_in_validation()
