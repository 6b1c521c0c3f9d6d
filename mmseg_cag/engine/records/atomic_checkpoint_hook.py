# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Atomic checkpoints with each rank's batch statistics."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    get_rank,
    get_world_size,
    is_main_process,
)
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.atomic import DeferredRemovalBackend, atomic_write
from mmseg_cag.fileio.checkpoints import (
    LAST_CHECKPOINT,
    archive_previous,
    numbered,
    remove_drafts,
)
from mmseg_cag.models.segmentors.base import bare_model


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """Checkpoint hook that survives kills and full disks.

    Each checkpoint is written atomically, before old ones are removed. A
    failed write is reported and training continues until the next one. A new
    run moves aside the checkpoints of an earlier one.

    With several ranks, running statistics of batch norms are each rank's own;
    a checkpoint's ``state_dict`` and validations have the mean of all ranks.

    Args:
        **kwargs: Arguments of mmengine's hook, except folder and names.

    Raises:
        UserError: Folder or names are set, which a resumed run would not find.
    """

    def __init__(self, **kwargs: Any) -> None:
        for key in ('out_dir', 'filename_tmpl'):
            if kwargs.get(key) is not None:
                raise UserError(
                    f'AtomicCheckpointHook: {key}={kwargs[key]!r}, expected '
                    'none: checkpoints are iter_N.pth in work_dir'
                )
        super().__init__(**{'backend_args': {'backend': 'atomic'}, **kwargs})
        self.failure: str | None = None
        self._statistics: list[dict] = []  # of all ranks
        self._validation = ExitStack()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restore each rank's own statistics when resuming."""
        # After a rollback the iteration is not at its end.
        if runner._resume or runner.iter:
            restore_statistics(checkpoint)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the statistics of all ranks, and their mean."""
        if self._statistics:
            checkpoint[KEY] = self._statistics
            checkpoint['state_dict'].update(_mean(self._statistics))

    def before_val(self, runner: Runner) -> None:
        """Validate the network that is saved."""
        averaged = averaged_statistics(bare_model(runner))
        self._statistics = self._validation.enter_context(averaged)

    def after_val(self, runner: Runner) -> None:
        """Continue with each rank's own statistics."""
        self._validation.close()
        self._statistics = []

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder.

        Raises:
            UserError: There is no disk space for a checkpoint.
        """
        super().before_train(runner)
        # mmengine removes the old best before it writes the new one.
        self.file_backend = DeferredRemovalBackend(self.out_dir)
        if not is_main_process():
            return
        remove_drafts(self.out_dir)
        if runner.iter == 0 and (aside := archive_previous(self.out_dir)):
            runner.logger.warning(
                f'Files of an earlier run are now in {aside}'
            )
        check_disk_space(self, runner)

    def after_train(self, runner: Runner) -> None:
        """Raise an error if the final checkpoint was not written.

        Raises:
            UserError: The last checkpoint could not be written.
        """
        super().after_train(runner)
        if self.failure:
            raise UserError(self.failure)

    def save_now(self, runner: Runner, step: int) -> None:
        """Save the state at this iteration, outside the interval."""
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
        error = None
        try:
            with self._all_statistics(runner):
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
                atomic_write(
                    Path(runner.work_dir, LAST_CHECKPOINT), path.encode()
                )
                self._remove_old(step)
        except OSError as caught:
            error = caught
        if self._failed(runner, path, error):
            return
        self.failure = None
        self.last_ckpt = path

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        hub = runner.message_hub.runtime_info
        before, paths = _best(hub), copy.deepcopy(_best(vars(self)))
        # It is saved again below, after all ranks know about the best.
        last, self.last_ckpt = self.last_ckpt, None
        error = None
        try:
            with self._all_statistics(runner):
                super()._save_best_checkpoint(runner, metrics)
        except OSError as caught:
            error = caught
        self.last_ckpt = last
        found = _best(hub)
        if self._failed(runner, f'{self.out_dir}: best checkpoint', error):
            for key in found:
                del hub[key]
            hub.update(before)
            vars(self).update(paths)
        elif found != before:
            # Accumulated gradients are not in checkpoints.
            if last is not None and runner.optim_wrapper.should_update():
                self._save_again(runner)
            self.file_backend.remove_now(keep=list(found.values()))
        self.file_backend.paths.clear()

    @contextmanager
    def _all_statistics(self, runner: Runner) -> Iterator[None]:
        """Have the statistics of all ranks, which a validation has."""
        before = self._statistics
        self._statistics = before or gather_statistics(bare_model(runner))
        try:
            yield
        finally:
            self._statistics = before

    def _save_again(self, runner: Runner) -> None:
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        step = meta['epoch' if self.by_epoch else 'iter']
        self._save_checkpoint_with_step(runner, step, meta)

    def _failed(
        self, runner: Runner, path: str, error: OSError | None
    ) -> bool:
        """Share a write error of the first rank with all ranks."""
        reasons = [error and (error.strerror or str(error))]
        broadcast_object_list(reasons)
        if reasons[0] is None:
            return False
        self.failure = f'{path}: could not be written ({reasons[0]})'
        if error:
            runner.logger.error(
                f'{self.failure}; training continues until the next checkpoint'
            )
        return True

    def _remove_old(self, step: int) -> None:
        """Keep only the last ones up to this step."""
        if self.max_keep_ckpts > 0:
            found = [str(path) for path in numbered(self.out_dir)]
            upto = found[: found.index(self._path(step)) + 1]
            for path in upto[: -self.max_keep_ckpts]:
                Path(path).unlink()


def _best(values: dict[str, Any]) -> dict[str, Any]:
    """Select the entries about the best checkpoints."""
    names = ('best_score', 'best_ckpt')
    return {k: v for k, v in values.items() if k.startswith(names)}


def check_disk_space(hook: CheckpointHook, runner: Runner) -> None:
    """Check the disk space for one checkpoint; warn if not for all.

    Raises:
        UserError: There is not enough.
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
    """Count checkpoints that exist at once: old, new and best."""
    steps = runner.max_epochs if hook.by_epoch else runner.max_iters
    left = steps - (runner.epoch if hook.by_epoch else runner.iter)
    saved = left // hook.interval if hook.interval > 0 else 0
    saved += hook.save_last
    if hook.max_keep_ckpts > 0:
        saved = min(saved, hook.max_keep_ckpts + 1)
    return saved + 2 * len(hook.save_best or ())


def estimate_bytes(runner: Runner) -> int:
    """Estimate an upper bound of a checkpoint's size.

    The model, plus Adam's state of each trained parameter.
    """
    model = bare_model(runner)
    state = sum(_bytes(value) for value in model.state_dict().values())
    trained = sum(_bytes(p) for p in model.parameters() if p.requires_grad)
    return state + 2 * trained


def _bytes(tensor: Any) -> int:
    return tensor.numel() * tensor.element_size()


KEY = 'rank_statistics'  # in a checkpoint


def gather_statistics(model: nn.Module) -> list[dict[str, Tensor]]:
    """Gather the running statistics of all ranks, on the host.

    A checkpoint's ``state_dict`` has their mean; ranks need their own to
    resume exactly.

    Args:
        model: The model, without a distributed wrapper.

    Returns:
        Those of each rank, by key of ``state_dict``; none of a single rank.
    """
    if get_world_size() == 1:
        return []
    statistics = {
        id(value)
        for module in model.modules()
        if isinstance(module, _NormBase)
        for value in module.buffers()
    }
    # Some networks have other keys in a checkpoint than modules.
    own = {
        key: value.cpu()
        for key, value in model.state_dict(keep_vars=True).items()
        if id(value) in statistics
    }
    return all_gather_object(own)


@contextmanager
def averaged_statistics(model: nn.Module) -> Iterator[list[dict]]:
    """Use the mean of all ranks' running statistics inside.

    Args:
        model: The model, without a distributed wrapper.

    Yields:
        Result of `gather_statistics`, which is each rank's own again after.
    """
    found = gather_statistics(model)
    if found:
        _put(model, _mean(found))
    try:
        yield found
    finally:
        if found:
            _put(model, found[get_rank()])


def _mean(statistics: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Average over ranks; equal values stay as they are."""
    return {
        key: torch.stack([one[key] for one in statistics])
        .double()
        .mean(0)
        .to(value.dtype)
        for key, value in statistics[0].items()
        if value.is_floating_point()
    }


def _put(model: nn.Module, statistics: dict[str, Tensor]) -> None:
    state = model.state_dict()
    for key, value in statistics.items():
        state[key].copy_(value)


def restore_statistics(checkpoint: dict) -> None:
    """Put this rank's statistics into a loaded checkpoint.

    Does nothing if the number of ranks differs.
    """
    found = checkpoint.get(KEY, [])
    if len(found) == get_world_size():
        checkpoint['state_dict'].update(found[get_rank()])
