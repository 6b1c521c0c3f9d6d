# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keep the weights of convolutions in channels-last memory order.

    Convolutions then run in that order throughout, which is faster on CPUs
    and on tensor cores; the values are the same.
    """

    priority = 'HIGHEST'

    def before_train(self, runner: Runner) -> None:
        """Reorder the model's weights."""
        runner.model.to(memory_format=torch.channels_last)

    def before_test(self, runner: Runner) -> None:
        """Reorder the model's weights."""
        runner.model.to(memory_format=torch.channels_last)
