# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from mmengine.model import BaseAveragedModel
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_cag.errors import UserError, require_one_of

from .losses.head_loss import resize_as
from .renormalise import Renormalise
from .segmentors.base import (
    SegOutput,
    UDASegmentor,
    kept_statistics,
    run_network,
)
from .student import load_student

MODES = ('eval', 'batch_norm', 'train')
BUFFERS = ('keep', 'copy', 'average')


@MODELS.register_module()
class Teacher(BaseAveragedModel):
    """Teacher network: an average of the student, or a fixed network.

    At update t the teacher moves towards the student by
    ``max(momentum, 1 / (t + 1))``, so it starts as a copy, is the mean of all
    students until that weight is reached, and an exponential moving average
    afterwards. A momentum of 1 copies at each update: CAG's teacher, updated
    at the start of a stage, is the student at that moment. DAFormer's, with
    alpha = 0.999, is updated before each step with a momentum of 0.001.

    It has the student's prediction modules. Frozen parameters of the student
    are shared, not copied.

    Args:
        student: The averaged segmentor.
        momentum: The student's weight in an update.
        mode: ``eval``, or ``batch_norm``: batch norms use the statistics of
            the batch and update their own, and all else, such as dropout and
            drop path, is in evaluation mode; or ``train``: everything is in
            training mode (ProDA).
        buffers: How an update treats buffers such as running statistics:
            ``keep`` the teacher's, ``copy`` the student's, or ``average`` them
            like parameters.
        ramp: Whether the weight starts at 1 and decreases; else only the first
            update copies (ProDA).
        mirror: Whether to average probabilities over the image and its mirror
            image: scores are the log of the mean, at the size of the image
            (VFM-UDA).
        config: Config file of a fixed teacher, from a run of any method and
            network, instead of a copy. The student's images are converted to
            its normalisation.
        checkpoint: Its checkpoint.
        size: Input height and width of a fixed teacher; None for the
            student's.

    Raises:
        UserError: A setting is invalid, or a fixed teacher lacks its
            checkpoint or has other classes.

    Source: DAFormer Sec. 3.1 and as released (mean teacher); CAG-UDA Sec. 3.3
    (the network of the previous stage).
    """

    def __init__(
        self,
        student: UDASegmentor,
        momentum: float = 1.0,
        mode: str = 'eval',
        buffers: str = 'copy',
        ramp: bool = True,
        mirror: bool = False,
        config: str | None = None,
        checkpoint: str | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        require_one_of('Teacher: mode', mode, MODES)
        require_one_of('Teacher: buffers', buffers, BUFFERS)
        if (config is None) != (checkpoint is None):
            raise UserError(
                f'Teacher: config={config} and checkpoint={checkpoint}, '
                'expected both for a fixed teacher, or neither'
            )
        if not 0 < momentum <= 1:
            raise UserError(
                f"Teacher: momentum={momentum}, expected the student's weight "
                'in an update, above 0 and at most 1'
            )
        self.mode = mode
        self.config, self.is_fixed = config, config is not None
        if size is not None and not self.is_fixed:
            raise UserError(
                f'Teacher: size={size} without config and checkpoint, '
                'expected it only for a fixed teacher'
            )
        if self.is_fixed:
            network = load_student(config, checkpoint)
            # One sigmoid separates two classes.
            given = max(network.decode_head.num_classes, 2)
            if given != student.decode_head.num_classes:
                raise UserError(
                    f'Teacher: config={config} has {given} classes, expected '
                    f'{student.decode_head.num_classes}, like the student'
                )
            super().__init__(network)
            self.renormalise = Renormalise(
                student.data_preprocessor.of('target'),
                network.data_preprocessor,
                size,
            )
        else:
            super().__init__(prediction_parts(student))
            share_frozen(student, self.module)
            self.avg_parameters = dict(self.module.named_parameters())
        self.momentum, self.ramp, self.mirror = momentum, ramp, mirror
        # Mirror of the buffer ``steps`` that can be read without a sync.
        self.updates = 0
        self.buffers_mode = buffers

    def train(self, mode: bool = True) -> Teacher:
        """Keep the teacher's own mode, regardless of the student's."""
        super().train(self.mode == 'train')
        if self.mode == 'batch_norm':
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.training = True
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> SegOutput:
        """Compute features and scores of images (N, 3, H, W)."""
        output = self._run(images)
        if not self.mirror:
            return output
        mirrored = self._run(images.flip(3))
        probability, other = (
            self._at_images(own.logits[0], images).softmax(1)
            for own in (output, mirrored)
        )
        # Clamp to float32's smallest number, so that no score is -inf.
        mean = (probability + other.flip(3)) / 2
        log = mean.clamp(min=torch.finfo(mean.dtype).tiny).log()
        return output._replace(logits=[log])

    def _run(self, images: Tensor) -> SegOutput:
        if isinstance(self.module, UDASegmentor):
            return self.module.forward_student(images, auxiliary=False)
        return run_network(self.module, self.renormalise(images))

    def _at_images(self, logits: Tensor, images: Tensor) -> Tensor:
        head = self.module.decode_head
        return resize_as(head, logits.float(), images.shape[-2:])

    def forward_aside(self, images: Tensor) -> SegOutput:
        """Compute as `forward` does, without updating statistics."""
        with kept_statistics(self):
            return self(images)

    @torch.no_grad()
    def update_parameters(self, model: UDASegmentor) -> None:
        """Update from the student; the first update copies it."""
        if self.is_fixed:
            return
        weight = max(self.momentum, 1 / (self.updates + 1))
        if not self.ramp and self.updates:
            weight = self.momentum
        parts = prediction_parts(model)
        move(self.module.parameters(), parts.parameters(), weight)
        if self.buffers_mode == 'copy':
            move(self.module.buffers(), parts.buffers(), 1.0)
        elif self.buffers_mode == 'average':
            move(self.module.buffers(), parts.buffers(), weight)
        self.updates += 1
        self.steps += 1

    def restart(self) -> None:
        """Let the next update copy the student."""
        self.updates = 0
        self.steps.zero_()

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any
    ) -> None:
        """Continue counting from the checkpoint."""
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.updates = int(state_dict.get(f'{prefix}steps', self.updates))


def prediction_parts(segmentor: UDASegmentor) -> UDASegmentor:
    """Make a segmentor of the same class that shares prediction modules.

    It has no discriminators, no teacher and no method state.
    """
    parts = copy.copy(segmentor)
    parts._modules = {
        name: part
        for name, part in segmentor._modules.items()
        if name in segmentor.prediction_parts
    }
    parts._buffers = {}
    parts.observers = []
    return parts


def share_frozen(student: nn.Module, teacher: nn.Module) -> None:
    """Share the student's frozen tensors with a teacher."""
    for path, part in teacher.named_modules():
        if not path:
            continue
        own = student.get_submodule(path)
        for name, parameter in own.named_parameters(recurse=False):
            if not parameter.requires_grad:
                setattr(part, name, parameter)


def move(
    averages: Iterable[Tensor], values: Iterable[Tensor], weight: float
) -> None:
    """Interpolate tensors towards others by a weight; 1 copies.

    Uses one fused call, since per-tensor launches are slow.
    """
    pairs = [
        (average, value)
        for average, value in zip(averages, values, strict=True)
        if average is not value
    ]
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    if floats:
        torch._foreach_lerp_(
            *(list(x) for x in zip(*floats, strict=True)), weight
        )
    for average, value in pairs:
        if not average.is_floating_point():
            average.copy_(value)
