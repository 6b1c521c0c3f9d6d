# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import (
    broadcast_object_list,
    get_world_size,
    is_main_process,
)
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.checkpoints import (
    RemoveLater,
    numbered,
    put_aside,
    remove_drafts,
    write_whole,
)
from mmseg_cag.checkpoints.folder import NOTE
from mmseg_cag.errors import UserError

from .checkpoint_room import require_room
from .rank_statistics import KEY, gather_statistics, restore_statistics
from .stage_hook import bare_model


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's checkpoints, which a kill or a full disk cannot spoil.

    Each is written whole or not at all, and old ones are removed after that.
    One that cannot be written is reported, and training goes on; the next is
    tried at its time. A run that begins afresh puts aside what an earlier one
    left in the folder.

    Args:
        **kwargs: Those of mmengine's hook.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{'backend_args': {'backend': 'atomic'}, **kwargs})
        self.failure: str | None = None
        self._statistics: list[dict] = []

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Let each rank have its own statistics where a run goes on."""
        # After a rollback it is in the middle.
        if runner._resume or runner.iter:
            restore_statistics(checkpoint)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the statistics of all ranks."""
        if self._statistics:
            checkpoint[KEY] = self._statistics

    def before_train(self, runner: Runner) -> None:
        """Make the folder ready.

        Raises:
            UserError: There is no room for a checkpoint.
        """
        super().before_train(runner)
        # mmengine removes the old best before the new one is written.
        self.file_backend = RemoveLater(self.out_dir)
        if not is_main_process():
            return
        remove_drafts(self.out_dir)
        if runner.iter == 0 and (aside := put_aside(self.out_dir)):
            runner.logger.warning(
                f'Checkpoints of an earlier run are now in {aside}'
            )
        require_room(self, runner)

    def after_train(self, runner: Runner) -> None:
        """End with an error where the end of the run is on no disk.

        Raises:
            UserError: The last checkpoint could not be written.
        """
        super().after_train(runner)
        failures = [self.failure]
        broadcast_object_list(failures)
        if failures[0]:
            raise UserError(failures[0])

    def save_now(self, runner: Runner, step: int) -> None:
        """Save the state after so many iterations, between two savings."""
        if self.last_ckpt != self._path(step):
            meta = dict(epoch=runner.epoch, iter=step)
            self._save_checkpoint_with_step(runner, step, meta)

    def _path(self, step: int) -> str:
        return str(Path(self.out_dir, self.filename_tmpl.format(step)))

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: dict
    ) -> None:
        path = self._path(step)
        runner.message_hub.update_info('last_ckpt', path)
        if get_world_size() > 1:
            self._statistics = gather_statistics(bare_model(runner))
        try:
            runner.save_checkpoint(
                self.out_dir,
                Path(path).name,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
            if is_main_process():
                write_whole(Path(runner.work_dir, NOTE), path.encode())
                self._remove_old(step)
        except OSError as error:
            self._fail(runner, path, error)
            return
        finally:
            self._statistics = []
        self.failure = None
        self.last_ckpt = path

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        try:
            super()._save_best_checkpoint(runner, metrics)
        except OSError as error:
            self._fail(runner, f'{self.out_dir}: best checkpoint', error)
        else:
            self.file_backend.remove_now()
        self.file_backend.paths.clear()

    def _fail(self, runner: Runner, path: str, error: OSError) -> None:
        reason = error.strerror or error
        self.failure = f'{path}: could not be written ({reason})'
        runner.logger.error(
            f'{self.failure}; training goes on, the next one is tried at its '
            'time'
        )

    def _remove_old(self, step: int) -> None:
        """Keep the last ones up to this step."""
        if self.max_keep_ckpts > 0:
            found = [str(path) for path in numbered(self.out_dir)]
            upto = found[: found.index(self._path(step)) + 1]
            for path in upto[: -self.max_keep_ckpts]:
                Path(path).unlink()
