# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed each step's own randomness from (seed, rank, iteration).

    Dropout then needs no saved state: a resumed run draws what the run that
    was never stopped would have drawn.
    """

    priority = 'LOWEST'

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Seed torch's generators on all devices for this iteration."""
        key = np.random.SeedSequence((runner.seed, get_rank(), runner.iter))
        torch.manual_seed(int(key.generate_state(1)[0]))
