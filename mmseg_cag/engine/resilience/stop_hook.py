# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmseg.registry import HOOKS

from mmseg_cag.engine.records.atomic_checkpoint_hook import (
    AtomicCheckpointHook,
)
from mmseg_cag.errors import UserError

from .late_iterator import load_late, skip_what_was_seen
from .stop_request import StopRequest, shield_workers

EXIT_CODE = os.EX_TEMPFAIL  # 75: try again


@HOOKS.register_module()
class StopHook(Hook):
    """Finish the step on SIGTERM or SIGINT, save and exit with code 75.

    Of several ranks all do so after the same step: they ask each other from
    time to time. A single process stops within a validation too, which the
    resumed run does again. A second signal ends the process at once.

    Args:
        interval: Iterations from one question to the next, of several ranks.
    """

    # After the checkpoint, and before a validation that was missed, in which
    # it listens already.
    priority = 95

    def __init__(self, interval: int = 5) -> None:
        self.interval = interval
        self.request = StopRequest()
        self._told = False  # this rank or another

    def before_run(self, runner: Runner) -> None:
        """Let no worker be there that is not shielded."""
        # A test has its loop as a config, which asking for it would build.
        if isinstance(runner._train_loop, BaseLoop):
            load_late(runner.train_loop)

    def before_train(self, runner: Runner) -> None:
        """Listen to the signals.

        Raises:
            UserError: No hook could save the state between two savings.
        """
        savers = [h for h in runner.hooks if _saves(h)]
        if not savers:
            raise UserError(
                'StopHook: default_hooks.checkpoint is no '
                'AtomicCheckpointHook with by_epoch=False, by which it saves'
            )
        self._saver = savers[0]
        shield_workers(runner.train_dataloader)
        if runner.val_loop is not None:
            shield_workers(runner.val_loop.dataloader)
        skip_what_was_seen(runner)
        self.request.listen()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Stop after this update if any rank was told to."""
        self._told = self._told or self._ask(runner)
        # Gradients that are accumulated are in no checkpoint.
        if self._told and runner.optim_wrapper.should_update():
            self._stop(runner, runner.iter + 1)

    def _ask(self, runner: Runner) -> bool:
        ranks = get_world_size()
        if ranks > 1 and not self.every_n_train_iters(runner, self.interval):
            return False
        told = torch.tensor([self.request.signal is not None]).int()
        all_reduce(told, 'max')
        return bool(told.item())

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list | None = None,
    ) -> None:
        """Stop within a validation if there is one rank alone."""
        if self.request.signal and get_world_size() == 1:
            self._stop(runner, runner.iter)

    def after_train(self, runner: Runner) -> None:
        """Leave the signals alone."""
        self.request.end()

    def _stop(self, runner: Runner, step: int) -> None:
        self._saver.save_now(runner, step)
        self.request.end()
        if self._saver.failure:
            raise UserError(self._saver.failure)
        sign = self.request.signal or 'a signal to another rank'
        runner.logger.warning(
            f'{sign}: stopped after iteration {step}, which is saved; the '
            'same command goes on with --resume'
        )
        raise SystemExit(EXIT_CODE)


def _saves(hook: Hook) -> bool:
    return isinstance(hook, AtomicCheckpointHook) and not hook.by_epoch
