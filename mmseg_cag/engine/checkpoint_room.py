# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Whether a folder has room for the checkpoints of a run."""

from __future__ import annotations

import shutil
from typing import Any

from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmseg_cag.errors import UserError

from .stage_hook import bare_model


def require_room(hook: CheckpointHook, runner: Runner) -> None:
    """Check that there is room for one checkpoint; warn if not for all.

    Raises:
        UserError: There is not.
    """
    size = estimate_bytes(runner)
    free = shutil.disk_usage(hook.out_dir).free
    room = f'{hook.out_dir}: {free / 2**20:.0f} MiB are free'
    if free < size:
        raise UserError(
            f'{room}, expected {size / 2**20:.0f} MiB for a checkpoint'
        )
    count = _most_files(hook, runner)
    if free < size * count:
        runner.logger.warning(
            f'{room}, but the run will keep {count} checkpoints of '
            f'{size / 2**20:.0f} MiB'
        )


def _most_files(hook: CheckpointHook, runner: Runner) -> int:
    """Count checkpoints that stand side by side: old, new and best."""
    steps = runner.max_epochs if hook.by_epoch else runner.max_iters
    left = steps - (runner.epoch if hook.by_epoch else runner.iter)
    saved = left // hook.interval if hook.interval > 0 else 0
    saved += hook.save_last
    if hook.max_keep_ckpts > 0:
        saved = min(saved, hook.max_keep_ckpts + 1)
    return saved + 2 * len(hook.save_best or ())


def estimate_bytes(runner: Runner) -> int:
    """Estimate the size of a checkpoint, from above.

    The model, and as much as Adam keeps of each trained parameter.
    """
    model = bare_model(runner)
    state = sum(_bytes(value) for value in model.state_dict().values())
    trained = sum(_bytes(p) for p in model.parameters() if p.requires_grad)
    return state + 2 * trained


def _bytes(tensor: Any) -> int:
    return tensor.numel() * tensor.element_size()
