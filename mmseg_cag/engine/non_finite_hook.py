# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.errors import UserError


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stop the run at the first loss that is not finite.

    Looks at every iteration: mmengine has just fetched the same values for
    its log, so the GPU has been waited for already. Each rank looks at its
    own.
    """

    # After mmengine's log, before a checkpoint of these weights is written.
    priority = 'HIGH'

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Check the losses of this iteration.

        Raises:
            UserError: One is infinite or not a number.
        """
        losses = {key: value.item() for key, value in (outputs or {}).items()}
        bad = [key for key, x in losses.items() if not math.isfinite(x)]
        if not bad:
            return
        # The sum says nothing that its terms do not.
        bad = [key for key in bad if key != 'loss'] or bad
        values = ', '.join(f'{key}={losses[key]}' for key in bad)
        files = ', '.join(files_of(data_batch['data_samples'], bad))
        raise UserError(
            f'iteration {runner.iter + 1}: {values}, expected finite losses; '
            f'images {files}'
        )


def files_of(data_samples: list | dict[str, list], keys: list) -> list[str]:
    """Name the images of a batch, of those domains that keys begin with."""
    if isinstance(data_samples, dict):
        named = {key.split('.')[0] for key in keys}
        domains = [d for d in data_samples if d in named] or data_samples
        data_samples = [s for d in domains for s in data_samples[d]]
    return [sample.img_path for sample in data_samples]
