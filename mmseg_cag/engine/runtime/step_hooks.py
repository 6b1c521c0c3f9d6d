# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.models.segmentors.base import bare_model


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keep the weights of convolutions in channels-last memory order.

    Convolutions then run in this order, which is faster on CPUs and tensor
    cores; values are the same.
    """

    priority = 'HIGHEST'

    def before_train(self, runner: Runner) -> None:
        """Reorder the model's weights."""
        to_channels_last(runner)

    def before_test(self, runner: Runner) -> None:
        """Reorder the model's weights."""
        to_channels_last(runner)


def to_channels_last(runner: Runner) -> None:
    """Reorder a model's weights; rewrap it if it is distributed.

    A wrapper lays out its gradient buckets by the weights' memory order at
    construction. If the order changes later, gradients are silently wrong
    (torch 2.13).
    """
    model = bare_model(runner)
    model.to(memory_format=torch.channels_last)
    if is_model_wrapper(runner.model):
        wrapper = runner.cfg.get('model_wrapper_cfg')
        runner.model = runner.wrap_model(wrapper, model)


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed the randomness of each step from (seed, rank, iteration).

    Dropout then needs no saved state: a resumed run draws the same numbers as
    an uninterrupted one.
    """

    priority = 'LOWEST'

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Seed torch's generators on all devices for this iteration."""
        key = np.random.SeedSequence((runner.seed, get_rank(), runner.iter))
        torch.manual_seed(int(key.generate_state(1)[0]))
