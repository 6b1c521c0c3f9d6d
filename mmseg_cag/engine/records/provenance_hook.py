# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import mmcv
import mmengine
import mmseg
import numpy
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.errors import UserError
from mmseg_cag.models.segmentors.base import bare_model
from mmseg_cag.version import __version__

from .descent import DESCENT, Entry, descent_in, descent_of
from .provenance import provenance_of

PACKAGES = (mmcv, mmengine, mmseg, numpy, torch)


@HOOKS.register_module()
class ProvenanceHook(Hook):
    """Store the provenance of the weights in each checkpoint.

    Also stores software versions and the stage. From ``meta.provenance`` a
    later run knows whether the checkpoint still matches the config it starts
    from. ``meta.descent`` lists the weights, data and code it descends from
    (docs/licences.md).
    """

    def __init__(self) -> None:
        self._descent: list[Entry] = []
        self._provenance: dict = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the descent of a resumed run."""
        if runner._resume or runner.iter:
            self._descent = descent_in(checkpoint.get('meta'))

    def before_run(self, runner: Runner) -> None:
        """Check that the warm-up run has been executed.

        Raises:
            UserError: The config names a run to start from, but the launcher
                did not run it.
        """
        start = runner.cfg.get('start_from')
        if start and not runner.cfg.get('load_from'):
            raise UserError(
                f'start_from={start}: only tools/train.py runs it, expected '
                'load_from, the checkpoint of that run'
            )

    def before_train(self, runner: Runner) -> None:
        """Log the position in the chain of runs and the starting point."""
        # Files that it reads may change later.
        self._provenance = provenance_of(runner.cfg)
        chain = runner.cfg.get('chain', 'run 1 of 1')
        start = runner.cfg.get('load_from') or 'scratch'
        runner.logger.info(f'{chain}: {runner.work_dir}, from {start}')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add provenance, versions and stage to a checkpoint."""
        meta = checkpoint['meta']
        meta['provenance'] = self._provenance
        data = meta.get('data') or {}
        self._descent = self._descent or descent_of(runner.cfg, data)
        meta[DESCENT] = self._descent
        versions = {m.__name__: str(m.__version__) for m in PACKAGES}
        meta['versions'] = {**versions, 'mmseg_cag': __version__}
        stage = getattr(bare_model(runner), 'stage', None)
        meta['stage'] = None if stage is None else int(stage)
