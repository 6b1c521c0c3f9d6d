# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The publications' training loop, written out: one player after the other."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from tests import tiny

STEPS = 5


def up(scores: Tensor, size: tuple[int, int] = tiny.SIZE) -> Tensor:
    return F.interpolate(scores, size, mode='bilinear', align_corners=False)


def make(config: ConfigDict) -> nn.Module:
    """Build a model in float64 with a past and without dropout."""
    model = MODELS.build(config).double()
    for module in model.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0
    return model.train()


def draw() -> tuple[Tensor, Tensor, Tensor]:
    """Source images, their labels with some ignored, target images."""
    source, target = torch.randn(2, 2, 3, *tiny.SIZE, dtype=torch.double)
    labels = torch.randint(0, 19, (2, *tiny.SIZE))
    labels[:, -4:] = tiny.VOID
    return source, labels, target + 0.5


def joint_losses(model: nn.Module, batch: tuple) -> dict[str, Tensor]:
    source, labels, target = batch
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=label[None]))
        for label in labels
    ]
    return model.loss(
        {'source': source, 'target': target},
        {'source': samples, 'target': samples},
    )


def joint_steps(
    model: nn.Module, batches: list[tuple], losses_of: Callable
) -> None:
    """Train as the runner does."""
    wrapper = build_optim_wrapper(model, tiny.joint_optim())
    hub = MessageHub.get_current_instance()
    for iteration, batch in enumerate(batches):
        hub.update_info('iter', iteration)
        with wrapper.optim_context(model):
            losses = losses_of(model, batch)
        wrapper.update_params(model.parse_losses(losses)[0])


class Alternating:
    """Two optimizers, and a backward pass for each loss.

    Args:
        model: Trained in place.
        play: Of (this, batch, iteration), a step's backward passes.
    """

    def __init__(self, model: nn.Module, play: Callable) -> None:
        self.model = model
        self.play = play
        slow = list(model.backbone.parameters())
        judges = list(model.discriminators.parameters())
        fast = [
            p
            for p in model.parameters()
            if not any(p is q for q in slow + judges)
        ]
        self.student = torch.optim.SGD(
            [dict(params=slow), dict(params=fast, lr=1e-2)],
            lr=1e-3,
            momentum=0.9,
            weight_decay=5e-4,
        )
        self.judge = torch.optim.Adam(judges, lr=1e-3, betas=(0.9, 0.99))

    def train(self, batches: list[tuple]) -> None:
        for iteration, batch in enumerate(batches):
            self.student.zero_grad()
            self.judge.zero_grad()
            self.play(self, batch, iteration)
            self.student.step()
            self.judge.step()

    def freeze_judges(self, frozen: bool) -> None:
        self.model.discriminators.requires_grad_(not frozen)


def largest_difference(
    config: ConfigDict,
    play: Callable,
    draw: Callable = draw,
    losses_of: Callable = joint_losses,
) -> float:
    """Train twins jointly and by the written-out loop, and compare them.

    Args:
        config: Of the model.
        play: As of `Alternating`.
        draw: Draws a batch.
        losses_of: Of (model, batch), the model's losses.

    Returns:
        The largest absolute difference of any parameter or statistic.
    """
    model = make(config)
    start = copy.deepcopy(model.state_dict())
    twin = copy.deepcopy(model)
    batches = [draw() for _ in range(STEPS)]
    joint_steps(model, batches, losses_of)
    Alternating(twin, play).train(batches)
    found, expected = model.state_dict(), twin.state_dict()
    # Every part has moved, so that equality says something.
    for name, parameter in model.named_parameters():
        assert (parameter - start[name]).abs().max() > 1e-6, name
    return max(
        (found[key] - expected[key]).abs().max().item() for key in found
    )
