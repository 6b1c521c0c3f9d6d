# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from abc import abstractmethod

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmseg_cag.models.segmentors.base import UDASegmentor, bare_model


class WatchHook(Hook):
    """Look at a training step from time to time, and change nothing.

    It gets the maps that the segmentor shows of the step, which are computed
    anyway. Runs without a target are not looked at.

    Args:
        interval: Iterations from one look to the next; the first iteration of
            the run and of each stage is looked at, too. 0 never looks.
    """

    # Before mmengine's log, which tells what was seen.
    priority = 'ABOVE_NORMAL'

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.maps: dict[str, Tensor] = {}

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Ask for the maps of this step if it is to be looked at."""
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
        """Look at the maps, if there are, and let go of them."""
        if not self.maps:
            return
        bare_model(runner).observers.remove(self.maps.update)
        self.look(runner, self.maps, data_batch)
        self.maps.clear()

    def is_due(self, runner: Runner) -> bool:
        """Tell whether the coming iteration is looked at."""
        if not self.interval:
            return False
        # Another loop than the package's has no stages.
        begins = getattr(runner.train_loop, 'stage_begins', runner.iter == 0)
        return begins or (runner.iter + 1) % self.interval == 0

    @abstractmethod
    def look(
        self, runner: Runner, maps: dict[str, Tensor], data_batch: dict
    ) -> None:
        """Do what this hook is for with a step, on each rank."""
