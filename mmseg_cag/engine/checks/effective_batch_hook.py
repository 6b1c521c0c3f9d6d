# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.engine.stages import StageTrainLoop
from mmseg_cag.errors import UserError


@HOOKS.register_module()
class EffectiveBatchHook(Hook):
    """Log the effective batch size; warn if it differs from the recipe.

    The recipe's batch is ``auto_scale_lr.base_batch_size`` of the config, in
    images of each domain; with ``auto_scale_lr.enable`` mmengine scales the
    learning rates by the ratio.
    """

    def before_train(self, runner: Runner) -> None:
        """Compute the effective batch size and compare it.

        Raises:
            UserError: Accumulation would mix two stages or lose gradients on
                resume, or the learning rate would be scaled by a wrong ratio.
        """
        cfg = runner.cfg
        images = runner.train_dataloader.batch_size
        ranks = get_world_size()
        counts = cfg.optim_wrapper.get('accumulative_counts', 1)
        _require_whole_updates(runner, counts)
        total = images * ranks * counts
        runner.logger.info(
            f'Effective batch: {total} images of each domain: {images} per '
            f'process, {ranks} processes, {counts} accumulated'
        )
        scaling = cfg.get('auto_scale_lr') or {}
        recipe = scaling.get('base_batch_size')
        if recipe is None or total == recipe:
            return
        if not scaling.get('enable', False):
            runner.logger.warning(
                f'Effective batch: {total} images, the recipe has {recipe}, '
                'and learning rates are not scaled: set '
                'train_dataloader.batch_size, or auto_scale_lr.enable=True '
                f'to multiply them by {total / recipe:g}'
            )
        elif counts > 1:
            raise UserError(
                'auto_scale_lr.enable=True with '
                f'optim_wrapper.accumulative_counts={counts}, which mmengine '
                'ignores; expected manually set learning rates'
            )
        else:
            runner.logger.info(
                f'The recipe has {recipe}: learning rates are multiplied by '
                f'{total / recipe:g}'
            )


def _require_whole_updates(runner: Runner, counts: int) -> None:
    lengths = [
        ('interval', hook, hook.interval)
        for hook in runner.hooks
        if isinstance(hook, CheckpointHook) and not hook.by_epoch
    ]
    loop = runner.train_loop
    if isinstance(loop, StageTrainLoop):
        lengths.insert(0, ('stage_iters', loop, loop.stage_iters))
    for key, owner, iters in lengths:
        if iters > 0 and iters % counts:
            raise UserError(
                f'optim_wrapper.accumulative_counts={counts}: does not '
                f'divide {key}={iters} of {type(owner).__name__}'
            )
