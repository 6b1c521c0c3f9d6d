# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.errors import UserError

from .recipe import recipe_of


@HOOKS.register_module()
class RecipeHook(Hook):
    """Note in each checkpoint what its weights depend on.

    By ``meta.recipe`` a later run knows whether the checkpoint is still that
    of the config which it starts from.
    """

    def before_run(self, runner: Runner) -> None:
        """Check that what the run starts from was seen to.

        Raises:
            UserError: The config names a run to start from, but whoever
                launched this one did not run it.
        """
        start = runner.cfg.get('start_from')
        if start and not runner.cfg.get('load_from'):
            raise UserError(
                f'start_from={start}: is run by tools/train.py alone, '
                'expected load_from, the checkpoint of that run'
            )

    def before_train(self, runner: Runner) -> None:
        """Tell which run of a chain this is, and where it begins."""
        chain = runner.cfg.get('chain', 'run 1 of 1')
        start = runner.cfg.get('load_from') or 'no checkpoint'
        runner.logger.info(f'{chain}: {runner.work_dir}, from {start}')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the recipe to a checkpoint."""
        checkpoint['meta']['recipe'] = recipe_of(runner.cfg)
