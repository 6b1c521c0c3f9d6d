# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math
from collections import deque

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.errors import UserError

from .step_losses import StepLosses, take_arrived


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stop the run at the first loss that is not finite.

    Looks at every iteration, without a wait for the device: on a GPU, while
    the next one computes. Each rank looks at its own.
    """

    # After mmengine's log, before a checkpoint of these weights is written.
    priority = 'HIGH'

    def __init__(self) -> None:
        self.steps: deque[StepLosses] = deque()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Check the losses that have arrived.

        Raises:
            UserError: One is infinite or not a number.
        """
        samples = data_batch['data_samples']
        self.steps.append(StepLosses(outputs, runner.iter + 1, samples))
        for step in take_arrived(self.steps):
            check_finite(step)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the losses of all iterations, before their weights are kept.

        Raises:
            UserError: One is infinite or not a number.
        """
        self.after_train(runner)

    def after_train(self, runner: Runner) -> None:
        """Check the losses that were not looked at yet.

        Raises:
            UserError: One is infinite or not a number.
        """
        for step in take_arrived(self.steps, wait=True):
            check_finite(step)


def check_finite(step: StepLosses) -> None:
    """Check the losses of a step.

    Raises:
        UserError: One is infinite or not a number.
    """
    losses = step.read()
    bad = [key for key, x in losses.items() if not math.isfinite(x)]
    if not bad:
        return
    # The sum says nothing that its terms do not.
    bad = [key for key in bad if key != 'loss'] or bad
    values = ', '.join(f'{key}={losses[key]}' for key in bad)
    files = ', '.join(files_of(step.data_samples, bad))
    raise UserError(
        f'iteration {step.iteration}: {values}, expected finite losses; '
        f'images {files}'
    )


def files_of(data_samples: list | dict[str, list], keys: list) -> list[str]:
    """Name the images of a batch, of those domains that keys begin with."""
    if isinstance(data_samples, dict):
        named = {key.split('.')[0] for key in keys}
        domains = [d for d in data_samples if d in named] or data_samples
        data_samples = [s for d in domains for s in data_samples[d]]
    return [sample.img_path for sample in data_samples]
