# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Back to a checkpoint within a run, and on with data not seen since."""

from __future__ import annotations

from pathlib import Path

from mmengine.runner import Runner

# By how many batches the data are ahead of the iterations.
AHEAD = 'batches_ahead'


def roll_back(runner: Runner, checkpoint: Path) -> None:
    """Go back to a checkpoint after an iteration; the data go on.

    Args:
        runner: The run, in ``after_train_iter``.
        checkpoint: A checkpoint of this run.
    """
    consumed = runner.iter + 1 + runner.message_hub.get_info(AHEAD, 0)
    runner.resume(str(checkpoint))
    runner.message_hub.update_info(AHEAD, consumed - runner.iter)
    _forget_accumulated(runner)
    for hook in runner.hooks:
        if hasattr(hook, 'rewind'):  # it keeps records of the run
            hook.rewind(runner)
    # The loop counts the iteration that ends here.
    runner.train_loop._iter -= 1


def _forget_accumulated(runner: Runner) -> None:
    """Begin to accumulate anew, from the iteration gone back to."""
    runner.optim_wrapper.zero_grad()
    runner.optim_wrapper.initialize_count_status(
        runner.model, runner.iter, runner.max_iters
    )


def go_ahead(runner: Runner) -> None:
    """Let a resumed run's data begin where it stopped, after a rollback."""
    ahead = runner.message_hub.get_info(AHEAD, 0)
    if not ahead:
        return
    data = runner.train_loop.dataloader_iterator
    if not hasattr(data, 'skip_iter'):
        for _ in range(ahead):
            next(data)
        return
    skip = data.skip_iter
    data.skip_iter = lambda count: skip(count + ahead)
