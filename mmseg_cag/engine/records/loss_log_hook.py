# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor


@HOOKS.register_module()
class LossLogHook(RuntimeInfoHook):
    """Runtime info hook that fetches losses only when they are logged.

    mmengine fetches each loss in each iteration, which synchronises with the
    device. Here they stay on the device until the log is written, with one
    fetch for all. Replaces ``default_hooks.runtime_info``.
    """

    def __init__(self) -> None:
        self._losses: list[dict[str, Tensor]] = []

    def before_train(self, runner: Runner) -> None:
        """Look up the log interval."""
        super().before_train(runner)
        self._intervals = [
            hook.interval
            for hook in runner.hooks
            if isinstance(hook, LoggerHook)
        ]

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Store the losses; fetch them if the log is due."""
        self._losses.append(
            {key: value.detach() for key, value in (outputs or {}).items()}
        )
        due = any(self.every_n_train_iters(runner, n) for n in self._intervals)
        if due or self.end_of_epoch(runner.train_dataloader, batch_idx):
            self._fetch(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Fetch all losses, so that the checkpoint's history is complete."""
        self._fetch(runner)
        checkpoint['message_hub'] = runner.message_hub.state_dict()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Discard the losses of undone steps."""
        self._losses.clear()

    def after_train(self, runner: Runner) -> None:
        """Fetch the remaining losses."""
        self._fetch(runner)
        super().after_train(runner)

    def _fetch(self, runner: Runner) -> None:
        values = [v for losses in self._losses for v in losses.values()]
        if values:
            fetched = iter(torch.stack([v.double() for v in values]).tolist())
            for losses in self._losses:
                for key in losses:
                    runner.message_hub.update_scalar(
                        f'train/{key}', next(fetched)
                    )
        self._losses.clear()
