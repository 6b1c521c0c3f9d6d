# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmengine.dist import broadcast_object_list
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.engine.records.last_and_best_hook import NOTES
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.json_file import read_note


@HOOKS.register_module()
class MissedValidationHook(Hook):
    """Validate first, where a run was stopped before a validation was over.

    mmengine saves before it validates, and a resumed run would go on with
    the next iteration, or end, without the result of the one before. Where
    the result is noted, it may still have been stopped before the best
    checkpoint was saved.
    """

    # All hooks are ready to take the result.
    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Validate if that is due and no result is noted."""
        loop = runner.train_loop
        if runner.val_loop is None or runner.iter < max(loop.val_begin, 1):
            return
        at_end = runner.iter == loop.max_iters
        if runner.iter % loop.val_interval and not at_end:
            return
        found = [_noted(runner)]
        broadcast_object_list(found)
        if found[0] is None:
            runner.logger.info(f'Validation of iteration {runner.iter}')
            runner.val_loop.run()
            return
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook):
                hook.after_val_epoch(runner, found[0])


def _noted(runner: Runner) -> dict | None:
    try:
        notes = read_note(Path(runner.work_dir, NOTES))
    except UserError:
        return None
    return notes.get(str(runner.iter))
