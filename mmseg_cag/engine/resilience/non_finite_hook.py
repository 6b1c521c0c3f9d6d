# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor, nn

from mmseg_cag.engine.loops import require_uda_loop
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.checkpoints import latest_valid_checkpoint
from mmseg_cag.models.segmentors.base import bare_model

COUNT = 'bad_steps'  # of the whole run, in the message hub
ACTIONS = ('stop', 'skip', 'rollback')


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Prevent non-finite losses from reaching the weights, and report them.

    Such a batch's step is skipped (`UDATrainLoop.guard_steps`). Steps that a
    gradient scaler skips because of overflow are not affected: their loss is
    finite.

    Args:
        on_nan: Reaction: ``stop`` ends the run; ``skip`` continues from the
            state before the batch; ``rollback`` returns to the last valid
            checkpoint and continues with the data after the batch.
        limit: Maximum number of skips or rollbacks in a run.

    Raises:
        UserError: ``on_nan`` is none of these.
    """

    # Runs after log and schedule, before a checkpoint is written.
    priority = 80

    def __init__(self, on_nan: str = 'stop', limit: int = 10) -> None:
        if on_nan not in ACTIONS:
            raise UserError(
                f'NonFiniteHook: on_nan={on_nan!r}, expected one of {ACTIONS}'
            )
        self.on_nan = on_nan
        self.limit = limit

    def before_train(self, runner: Runner) -> None:
        """Guard the optimizer's steps.

        Raises:
            UserError: The loop does not support it.
        """
        loop = require_uda_loop(runner, self)
        loop.guard_steps(keep_buffers=self.on_nan == 'skip')

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """React to a non-finite loss of this iteration.

        Raises:
            UserError: There is one, and the run must stop or exceeds its
                limit.
        """
        loop = runner.train_loop
        if loop.loss_was_finite():
            return
        report = _describe(runner, data_batch, outputs)
        count = runner.message_hub.get_info(COUNT, 0) + 1
        if self.on_nan == 'stop':
            raise UserError(report)
        if count > self.limit:
            raise UserError(f'{report}; the {count}th, limit={self.limit}')
        if self.on_nan == 'skip':
            loop.undo_batch()
            runner.logger.warning(f'{report}; skipped, {count} so far')
        else:
            checkpoint = _last_checkpoint(runner, report)
            loop.roll_back(checkpoint)
            runner.logger.warning(f'{report}; back to {checkpoint}')
        runner.message_hub.update_info(COUNT, count)


def _describe(runner: Runner, batch: dict, outputs: dict[str, Tensor]) -> str:
    """Describe the non-finite values in one line."""
    losses = {key: value.item() for key, value in outputs.items()}
    bad = [key for key, x in losses.items() if not math.isfinite(x)]
    step = runner.iter + 1
    # Every rank takes part: a forward pass may reduce over ranks.
    with runner.optim_wrapper.optim_context(runner.model):
        module = first_bad_module(bare_model(runner), batch)
    if not bad:
        return f'iteration {step}: a loss of another rank is not finite'
    # The total adds nothing to its terms.
    bad = [key for key in bad if key != 'loss'] or bad
    values = ', '.join(f'{key}={losses[key]}' for key in bad)
    files = ', '.join(files_of(batch['data_samples'], bad))
    return (
        f'iteration {step}: {values}, expected finite losses; first bad '
        f'module {module or "not reproduced"}; images {files}'
    )


def _last_checkpoint(runner: Runner, report: str) -> str:
    """Choose the rollback checkpoint for all ranks."""
    found = [
        latest_valid_checkpoint(runner.work_dir) if is_main_process() else None
    ]
    broadcast_object_list(found)
    if found[0] is None:
        raise UserError(f'{report}; no checkpoint to roll back to yet')
    return str(found[0])


def files_of(data_samples: list | dict[str, list], keys: list) -> list[str]:
    """List a batch's images of the domains that prefix the keys."""
    if isinstance(data_samples, dict):
        named = {key.split('.')[0] for key in keys}
        domains = [d for d in data_samples if d in named] or data_samples
        data_samples = [s for d in domains for s in data_samples[d]]
    return [sample.img_path for sample in data_samples]


@torch.no_grad()
def first_bad_module(model: BaseModel, batch: dict) -> str | None:
    """Find the first module with non-finite values for a batch.

    Runs the batch through the model again, in training mode, and checks every
    module's output.

    Args:
        model: The model, without a distributed wrapper.
        batch: A batch of the training dataloader.

    Returns:
        Name of the first module with non-finite weights or, if all are finite,
        with non-finite output; None if there is none.
    """
    for name, value in model.named_parameters():
        if not value.isfinite().all():
            return f'{name.rpartition(".")[0]} (its weights)'
    names = {module: name for name, module in model.named_modules() if name}
    found: list[str] = []

    def look(module: nn.Module, inputs: Any, output: Any) -> None:
        if not all(value.isfinite().all() for value in _tensors(output)):
            found.append(names[module])

    handles = [module.register_forward_hook(look) for module in names]
    try:
        model(**model.data_preprocessor(batch, True), mode='loss')
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _tensors(node: Any) -> Iterator[Tensor]:
    if isinstance(node, Tensor):
        yield node
    elif isinstance(node, dict):
        yield from _tensors(list(node.values()))
    elif isinstance(node, list | tuple):
        for child in node:
            yield from _tensors(child)
