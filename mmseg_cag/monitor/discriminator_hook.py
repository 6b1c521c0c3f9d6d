# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from dataclasses import dataclass, field

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor

from .alarms import Alarm, write_alarm


@dataclass
class Watch:
    """Counters of a loss beyond its limits, on the loss's device.

    Attributes:
        counts: Consecutive steps below and above.
        longest: Maximum of these counts.
        warned: Whether a warning was logged, for below and above.
    """

    counts: Tensor
    longest: Tensor
    warned: list[bool] = field(default_factory=lambda: [False, False])


@HOOKS.register_module()
class DiscriminatorHook(Hook):
    """Warn about a collapsed or exploding discriminator.

    With a loss near zero it separates the domains perfectly, and the student
    gets no signal; with a growing loss the discriminator does not learn. Steps
    are counted on the device and read at an interval, so that no step waits.
    Warns once per discriminator.

    Args:
        floor: Loss, of both domains, below which it counts as collapsed ...
        floor_steps: ... if it is there for so many steps in a row.
        ceiling: Loss above which it counts as exploding ...
        ceiling_steps: ... if it is there for so many steps in a row.
        interval: Steps from one look to the next.
        key: What a discriminator's losses end with, after their domain.
    """

    def __init__(
        self,
        floor: float = 1e-3,
        floor_steps: int = 500,
        ceiling: float = 10.0,
        ceiling_steps: int = 20,
        interval: int = 50,
        key: str = 'loss_dis',
    ) -> None:
        self.floor = floor
        self.ceiling = ceiling
        self.steps = (floor_steps, ceiling_steps)
        self.interval = interval
        self.key = key
        self.watches: dict[str, Watch] = {}

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Count this step; read the counts at the interval."""
        for name, loss in self.losses_of(outputs or {}).items():
            self._count(name, loss.detach())
        if self.every_n_train_iters(runner, self.interval):
            for name, watch in self.watches.items():
                self._look(runner, name, watch)

    def losses_of(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum each discriminator's losses over domains, by name."""
        losses: dict[str, Tensor] = {}
        for key, value in outputs.items():
            _, _, name = key.partition('.')
            if name.endswith(self.key):
                losses[name] = losses.get(name, 0) + value
        return losses

    def _count(self, name: str, loss: Tensor) -> None:
        beyond = torch.stack([loss < self.floor, loss > self.ceiling])
        if name not in self.watches:
            zeros = torch.zeros_like(beyond, dtype=torch.long)
            self.watches[name] = Watch(zeros, zeros)
        watch = self.watches[name]
        watch.counts = (watch.counts + 1) * beyond
        watch.longest = torch.maximum(watch.longest, watch.counts)

    def _look(self, runner: Runner, name: str, watch: Watch) -> None:
        what = (
            f'below {self.floor}: it has collapsed, and the student learns '
            'nothing from it',
            f'above {self.ceiling}: it explodes',
        )
        for i, longest in enumerate(watch.longest.tolist()):
            if longest < self.steps[i] or watch.warned[i]:
                continue
            watch.warned[i] = True
            message = (
                f'source and target {name} was for {longest} steps {what[i]}; '
                'lower the learning rate of '
                'optim_wrapper.members.discriminators'
            )
            write_alarm(runner, Alarm('discriminator', None, message))
