# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from mmseg_cag.datasets.require_images import require_images_of
from mmseg_cag.engine.require_weights import require_weights
from mmseg_cag.experiments.chain import (
    last_checkpoint,
    load_chain,
    set_work_dir,
    train_runs,
    unfinished_runs,
)
from mmseg_cag.experiments.stages import require_equal_stages

from .step import LoopStep


class Training(LoopStep):
    """Train a translator or a segmentation network by its config.

    What its config starts from is trained first, as `tools/train.py` does.

    Args:
        name: As of `LoopStep`.
        folder: Its work dir.
        needs: As of `LoopStep`.
        cfg: The run's config, with its inputs put in.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        needs: dict[str, LoopStep],
        cfg: Config,
    ) -> None:
        super().__init__(name, folder, needs)
        self.cfg = cfg
        set_work_dir(cfg, str(folder))
        self._chain = load_chain(cfg)

    @property
    def result(self) -> Path:
        """The checkpoint at the end."""
        return last_checkpoint(self.cfg)

    def check(self) -> None:
        """Check stages, weights and images that no step has to make."""
        for run in self._chain:
            require_equal_stages(run)
            require_weights(run)
            require_images_of(run, 'val_dataloader')
            if run is not self.cfg or 'images' not in self.needs:
                require_images_of(run, 'train_dataloader')

    def run(self) -> None:
        """Train, or resume from the latest checkpoint."""
        self.cfg.made_from = self.made_from or None
        runs = unfinished_runs(self._chain)
        if not runs:
            print_log(f'{self.result}: complete, reused', 'current')
        train_runs(runs)
