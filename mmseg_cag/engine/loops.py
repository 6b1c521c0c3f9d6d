# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_reduce, broadcast_object_list, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, Runner
from mmengine.utils import digit_version
from mmseg.registry import LOOPS
from torch import nn
from torch.utils.data import DataLoader

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.json_file import read_json
from mmseg_cag.models.data_preprocessor import Pinnable, collate_pinnable
from mmseg_cag.models.segmentors.base import bare_model

from .optim.poly_restart import PolyRestartLR
from .records.atomic_checkpoint_hook import AtomicCheckpointHook
from .records.result_summary_hook import NOTES
from .resilience.guarded_optim import GuardedOptim, KeptBuffers
from .resilience.signals import (
    WORKER_FAULTS,
    Interrupted,
    StopSignals,
    guard_workers,
    kill_workers,
    raise_worker_fault,
)

EXIT_CODE = 75  # EX_TEMPFAIL: try again
# In the message hub: number of batches by which the data are ahead of the
# iterations.
AHEAD = 'batches_ahead'
# When building its loop, this mmengine draws a worker seed from torch's global
# generator; doing the same keeps initial weights equal under both loops.
STARTS_EARLY = digit_version(mmengine.__version__) <= digit_version('0.10.7')


class TrainBatches:
    """Endless batches of a data loader; workers start with the first batch.

    mmengine 0.10.7 starts workers when it builds its loop, before a hook could
    make them ignore signals, and loads all batches that a resumed run skips.

    Args:
        loader: The data loader, not iterated yet.
    """

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader
        self._batches = _endless(loader)

    def __iter__(self) -> Iterator:
        return self

    def __next__(self) -> Any:
        batch = next(self._batches)
        # Still a `Pinnable` where torch does not pin after all.
        return batch.batch if isinstance(batch, Pinnable) else batch

    def skip(self, count: int) -> None:
        """Skip the first batches, without loading them if possible."""
        loader, sampler = self._loader, self._loader.sampler
        # A custom batch sampler may take any number of samples.
        samples = count * (loader.batch_size or 0)
        if samples and hasattr(sampler, 'skip'):
            sampler.skip(samples)
        elif samples and isinstance(sampler, InfiniteSampler):
            # mmengine 0.10.7's sampler.
            rest = itertools.islice(sampler.indices, samples, None)
            sampler.indices = rest
        else:
            chooser = sampler if loader.batch_size else loader.batch_sampler
            print_log(
                f'{type(chooser).__name__} cannot skip: {count} batches are '
                'loaded and dropped, which UDASampler avoids',
                'current',
                logging.WARNING,
            )
            for _ in range(count):
                next(self)


def stop_workers(loader: DataLoader) -> None:
    """Stop the worker processes of a data loader, also persistent ones.

    If a worker's queue is garbage-collected in a cycle with the runner, the
    worker only notices after 5 seconds.
    """
    loader._iterator = None


def pin_batches(loader: DataLoader, told: bool | None = None) -> None:
    """Let a GPU copy batches, labels included, while the host goes on.

    Args:
        loader: Data loader, not iterated yet.
        told: Its setting ``pin_memory``; None pins if there is a GPU.
    """
    if torch.cuda.is_available() and told is not False:
        loader.pin_memory = True
        loader.collate_fn = partial(collate_pinnable, loader.collate_fn)


def _endless(loader: DataLoader) -> Iterator:
    for epoch in itertools.count(1):
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise UserError(
                'train_dataloader: no batch, expected at least as many images '
                'as batch_size'
            )
        # As mmengine does at the end of an epoch.
        for owner in (loader, loader.batch_sampler):
            sampler = getattr(owner, 'sampler', None)
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(epoch)
                break


@LOOPS.register_module()
class UDATrainLoop(BaseLoop):
    """Iteration-based training that can be stopped, resumed and rolled back.

    Like mmengine's `IterBasedTrainLoop`, and in addition:

    * Worker processes start with the first batch, after the hooks are ready,
      and stop with the loop.
    * A resumed run skips the batches it has seen, without loading them if the
      sampler supports it, and first does a missed validation.
    * On a signal (`StopHook`) it saves and stops between two updates.
    * A batch with a non-finite loss (`NonFiniteHook`) can be undone, or the
      run rolled back to a checkpoint; the data continue.

    Args:
        runner: The runner.
        dataloader: The training dataloader or its config.
        max_iters: Iterations of the run.
        val_interval: Iterations between validations; the run always ends with
            one.
        val_begin: First iteration that a validation may follow.

    Attributes:
        told: Whether a signal told this or another rank to stop.

    Raises:
        UserError: One of these is not positive.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        max_iters: int,
        val_interval: int = 1000,
        val_begin: int = 1,
    ) -> None:
        require_positive(
            max_iters=max_iters, val_interval=val_interval, val_begin=val_begin
        )
        super().__init__(runner, dataloader)
        self._built: tuple[dict, int] | None = None
        if isinstance(dataloader, dict):
            self._built = dataloader, runner.seed
        self.max_iters = max_iters
        self.max_epochs = 1
        self.val_interval = val_interval
        self.val_begin = val_begin
        self.stop_training = False  # set by mmengine's EarlyStoppingHook
        # mmengine resumes by these names.
        self._iter = 0
        self._epoch = 0
        self._batches: TrainBatches | None = None
        self._optim: GuardedOptim | None = None
        self._kept: KeptBuffers | None = None
        self._request: StopSignals | None = None
        self._stop_interval = 1
        self.told = False
        if STARTS_EARLY:
            torch.empty((), dtype=torch.int64).random_()
        metainfo = getattr(self.dataloader.dataset, 'metainfo', None)
        if metainfo is not None:
            runner.visualizer.dataset_meta = metainfo

    @property
    def iter(self) -> int:
        """Number of finished iterations."""
        return self._iter

    @property
    def epoch(self) -> int:
        """Always 0: the whole run is one epoch."""
        return self._epoch

    @property
    def model(self) -> nn.Module:
        """The model without its distributed wrapper."""
        return bare_model(self.runner)

    @property
    def stage_iters(self) -> int:
        """Iterations of a stage; this loop has a single one."""
        return self.max_iters

    @property
    def stage_begins(self) -> bool:
        """Whether the next iteration is the first of a stage."""
        return self._iter % self.stage_iters == 0

    def run(self) -> nn.Module:
        """Train and return the model."""
        try:
            self._train()
        except WORKER_FAULTS as error:
            raise_worker_fault(error)
        finally:
            self._close()
        # A signal may also come in the last validation or after it.
        self.told = self.told or self._ask()
        return self.runner.model

    def _train(self) -> None:
        runner = self.runner
        self._tell_schedules()
        self._take_seed()
        runner.call_hook('before_train')
        self._validate_if_missed()
        runner.call_hook('before_train_epoch')
        told = self._built[0].get('pin_memory') if self._built else None
        pin_batches(self.dataloader, told)
        self._batches = TrainBatches(self.dataloader)
        self._skip_consumed_batches()
        while self._iter < self.max_iters and not self.stop_training:
            runner.model.train()
            self.run_iter(self._next_batch())
            self._stop_if_told()
            if self._validates_here():
                runner.val_loop.run()
        runner.call_hook('after_train_epoch')
        runner.call_hook('after_train')

    def _next_batch(self) -> Any:
        """Wait for a batch; on a signal, save the state and stop."""
        if (
            self._request is None
            or not self.dataloader.num_workers
            or get_world_size() > 1
            or not self.runner.optim_wrapper.should_update()
        ):
            return next(self._batches)
        try:
            with self._request.waiting():
                return next(self._batches)
        except Interrupted:
            self._stop()

    def run_iter(self, data_batch: dict) -> None:
        """Train on one batch.

        Args:
            data_batch: The collated batch.
        """
        runner, index = self.runner, self._iter
        runner.call_hook(
            'before_train_iter', batch_idx=index, data_batch=data_batch
        )
        if self._kept is not None:
            self._kept.keep(self.model)
        optim = self._optim or runner.optim_wrapper
        # The last batch completed the previous update.
        self.model.update_begins = runner.optim_wrapper.should_update()
        outputs = runner.model.train_step(data_batch, optim_wrapper=optim)
        runner.call_hook(
            'after_train_iter',
            batch_idx=index,
            data_batch=data_batch,
            outputs=outputs,
        )
        self._iter += 1

    def guard_steps(self, keep_buffers: bool) -> None:
        """From now on, step only if the loss is finite on all ranks.

        Args:
            keep_buffers: Whether to support `undo_batch`.
        """
        self._optim = GuardedOptim(self.runner.optim_wrapper)
        self._kept = KeptBuffers() if keep_buffers else None

    def loss_was_finite(self) -> bool:
        """Return whether the last loss was finite on all ranks."""
        return self._optim is None or self._optim.was_finite()

    def undo_batch(self) -> None:
        """Restore the state before the batch, whose step was not taken."""
        self._kept.restore()

    def roll_back(self, checkpoint: str | Path) -> None:
        """Roll back to a checkpoint within an iteration; the data continue.

        Call it in ``after_train_iter``.

        Args:
            checkpoint: A checkpoint of this run.
        """
        runner, hub = self.runner, self.runner.message_hub
        consumed = self._iter + 1 + hub.get_info(AHEAD, 0)
        runner.resume(str(checkpoint))
        hub.update_info(AHEAD, consumed - self._iter)
        # Accumulation restarts.
        runner.optim_wrapper.zero_grad()
        runner.optim_wrapper.initialize_count_status(
            runner.model, self._iter, self.max_iters
        )
        self._optim.begin_update()
        runner.call_hook('rewind')  # for hooks that keep records of the run
        # The iteration that ends here still counts.
        self._iter -= 1

    def stop_on_signals(self, interval: int) -> None:
        """From now on, stop between updates on SIGTERM or SIGINT.

        Args:
            interval: Iterations between queries among several ranks.

        Raises:
            UserError: No hook can save the state outside its interval.
        """
        self._find_saver()
        self._stop_interval = interval
        guard_workers(self.dataloader)
        if self.runner.val_loop is not None:
            guard_workers(self.runner.val_loop.dataloader)
        self._request = StopSignals()
        self._request.listen()

    def stop_in_validation(self) -> None:
        """Stop within a validation if requested, with a single rank only.

        The resumed run starts with this validation. One inside an update, with
        accumulated gradients, ends first.
        """
        if get_world_size() == 1:
            self._stop_if_told()

    def _stop_if_told(self) -> None:
        if get_world_size() == 1 or self._iter % self._stop_interval == 0:
            self.told = self.told or self._ask()
        # Accumulated gradients are not in checkpoints.
        if self.told and self.runner.optim_wrapper.should_update():
            self._stop()

    def _ask(self) -> bool:
        if self._request is None:
            return False
        told = torch.tensor([self._request.signal is not None]).int()
        all_reduce(told, 'max')
        return bool(told.item())

    def _stop(self) -> None:
        saver = self._find_saver()
        saver.save_now(self.runner, self._iter)
        kill_workers()
        if saver.failure:
            raise UserError(saver.failure)
        sign = self._request.signal or 'a signal to another rank'
        self.runner.logger.warning(
            f'{sign}: stopped after iteration {self._iter}, which is saved; '
            'rerun the command with --resume to continue'
        )
        raise SystemExit(EXIT_CODE)

    def _find_saver(self) -> AtomicCheckpointHook:
        for hook in self.runner.hooks:
            if isinstance(hook, AtomicCheckpointHook) and not hook.by_epoch:
                return hook
        raise UserError(
            'StopHook: default_hooks.checkpoint is no AtomicCheckpointHook '
            'with by_epoch=False, by which it saves'
        )

    def _tell_schedules(self) -> None:
        """Tell schedules to restart with each stage."""
        for scheduler in _flatten(self.runner.param_schedulers):
            if isinstance(scheduler, PolyRestartLR):
                scheduler.restart_each(self.stage_iters)

    def _take_seed(self) -> None:
        """Order the data by the seed of the checkpoint that is resumed."""
        runner = self.runner
        if self._built and self._built[1] != runner.seed:
            self.dataloader = runner.build_dataloader(
                self._built[0],
                seed=runner.seed,
                diff_rank_seed=runner._randomness_cfg.get(
                    'diff_rank_seed', False
                ),
            )

    def _skip_consumed_batches(self) -> None:
        # After a rollback the data are ahead of the iterations.
        ahead = self.runner.message_hub.get_info(AHEAD, 0)
        if count := self._iter + ahead:
            self.runner.logger.info(
                f'The data start after the {count} batches already seen'
            )
            self._batches.skip(count)

    def _validates_here(self) -> bool:
        """Return whether a validation follows the current iteration."""
        if self.runner.val_loop is None or self._iter < self.val_begin:
            return False
        at_end = self._iter == self.max_iters
        return at_end or self._iter % self.val_interval == 0

    def _validate_if_missed(self) -> None:
        """Validate first if the run stopped before finishing a validation.

        Checkpoints are written before the validation. Even if its result is
        recorded, the run may have stopped before the best was saved.
        """
        runner = self.runner
        if self._iter == 0 or not self._validates_here():
            return
        found = [_read_noted(runner)]
        broadcast_object_list(found)
        if found[0] is None:
            runner.logger.info(f'Validation of iteration {self._iter}')
            runner.val_loop.run()
            return
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook):
                hook.after_val_epoch(runner, found[0])

    def _close(self) -> None:
        """Restore the signals and stop the workers."""
        if self._request is not None:
            self._request.end()
        self._batches = None
        for loop in (self, self.runner.val_loop):
            if loop is not None:
                stop_workers(loop.dataloader)


def require_uda_loop(runner: Runner, hook: Hook) -> UDATrainLoop:
    """Return the run's loop if it is one of this package.

    Raises:
        UserError: It is another loop.
    """
    loop = runner.train_loop
    if not isinstance(loop, UDATrainLoop):
        raise UserError(
            f'{type(hook).__name__}: train_cfg.type is '
            f'{type(loop).__name__}, expected UDATrainLoop or StageTrainLoop'
        )
    return loop


def total_iters(train_cfg: dict) -> int:
    """Compute a run's number of iterations.

    Args:
        train_cfg: Settings of its loop.

    Raises:
        UserError: A setting is missing or not a number.
    """
    names = ('stages', 'stage_iters')
    if 'max_iters' in train_cfg:
        names = ('max_iters',)
    if missing := [name for name in names if name not in train_cfg]:
        raise UserError(
            f'train_cfg.{missing[0]} is missing, expected the max_iters of '
            'UDATrainLoop, or stages and stage_iters of StageTrainLoop'
        )
    values = {name: train_cfg[name] for name in names}
    require_positive(**values)
    total = 1
    for value in values.values():
        total *= value
    return total


def require_positive(**settings: Any) -> None:
    """Check settings of ``train_cfg``.

    Raises:
        UserError: One is not a positive integer.
    """
    for name, value in settings.items():
        if not isinstance(value, int) or value < 1:
            raise UserError(
                f'train_cfg.{name}={value!r}, expected a whole number from 1'
            )


def clear_optimizer_state(wrapper: OptimWrapper) -> None:
    """Clear the state of an optimizer, or of all joint ones."""
    members = getattr(wrapper, 'optim_wrappers', {'': wrapper})
    for member in members.values():
        member.optimizer.state.clear()


def _flatten(node: Any) -> Iterable:
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list | tuple):
        for child in node:
            yield from _flatten(child)
    elif node is not None:
        yield node


def _read_noted(runner: Runner) -> dict | None:
    try:
        notes = read_json(Path(runner.work_dir, NOTES))
    except UserError:
        return None
    return notes.get(str(runner.iter))
