# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from abc import abstractmethod

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmseg_cag.models.segmentors.base import UDASegmentor, bare_model


class WatchHook(Hook):
    """Base hook that observes training steps without changing them.

    It receives the maps that the segmentor passes to observers, which are
    computed anyway. Runs without a target are not observed.

    Args:
        interval: Iterations between observations; the first iteration of the
            run and of each stage is observed, too. 0 disables it.
    """

    # Runs before mmengine's log, which writes the results.
    priority = 'ABOVE_NORMAL'

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.maps: dict[str, Tensor] = {}

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Request the maps of this step if it is due."""
        model = bare_model(runner)
        if isinstance(model, UDASegmentor) and self.is_due(runner):
            model.observers.append(self.maps.update)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Process the maps, if any, and release them."""
        if not self.maps:
            return
        bare_model(runner).observers.remove(self.maps.update)
        self.look(runner, self.maps, data_batch)
        self.maps.clear()

    def is_due(self, runner: Runner) -> bool:
        """Return whether the next iteration is observed."""
        if not self.interval:
            return False
        # Other loops have no stages.
        begins = getattr(runner.train_loop, 'stage_begins', runner.iter == 0)
        return begins or (runner.iter + 1) % self.interval == 0

    @abstractmethod
    def look(
        self, runner: Runner, maps: dict[str, Tensor], data_batch: dict
    ) -> None:
        """Process an observed step, on each rank."""
