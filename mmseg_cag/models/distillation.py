# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import UserError, require_one_of
from mmseg_cag.models.losses.distillation_losses import (
    confident_labels,
    feature_direction,
    soft_label_divergence,
)
from mmseg_cag.models.losses.head_loss import resize_as
from mmseg_cag.models.segmentors.base import SegOutput, UDASegmentor

# legend: N images, K classes, C feature channels, H W image, h w feature map

KINDS = ('hard', 'soft', 'features')


@MODELS.register_module()
class Distillation(nn.Module):
    """Distillation losses of a student on target images.

    .. code:: text

       teacher()         scores and features, without a gradient
       hard_losses()     the heads' own losses on the teacher's labels
       soft_losses()     divergence from the teacher's probabilities
       feature_losses()  direction of projected features

    Args:
        student: The segmentor that learns.
        teacher: Config of a fixed `Teacher`.
        weights: Weights of the loss kinds ``hard``, ``soft`` and ``features``;
            missing kinds are not computed.
        temperature: Divisor of both networks' scores (``soft``).
        threshold: Minimum probability of a label; the probability is its
            weight (``hard``).

    Raises:
        UserError: No kind is given or one is unknown, a number is out of
            range, the teacher is not fixed, or a head has no classifier
            ``conv_seg`` (``features``).

    Source: Hinton et al. 2015 (soft labels); FitNets, ICLR 2015 (a projection
    of the student's features), comparing directions instead of distances,
    because networks' features differ in scale.
    """

    def __init__(
        self,
        student: UDASegmentor,
        teacher: dict,
        weights: dict[str, float],
        temperature: float = 1.0,
        threshold: float = 0.0,
    ) -> None:
        super().__init__()
        for kind in weights or ['none']:
            require_one_of('model.distillation.weights', kind, KINDS)
        if not temperature > 0 or not 0 <= threshold <= 1:
            raise UserError(
                f'model.distillation: temperature={temperature}, '
                f'threshold={threshold}, expected temperature > 0 and '
                'threshold in 0..1'
            )
        self.weights = dict(weights)
        self.temperature, self.threshold = temperature, threshold
        settings = {'type': 'Teacher', **teacher, 'student': student}
        self.teacher = MODELS.build(settings)
        if not self.teacher.is_fixed:
            raise UserError(
                'model.distillation.teacher: without config and checkpoint, '
                'expected those of a finished run'
            )
        if 'features' in weights:
            networks = (student, self.teacher.module)
            self.projection = nn.Conv2d(*map(feature_channels, networks), 1)

    def forward(
        self, student: UDASegmentor, images: Tensor
    ) -> dict[str, Tensor]:
        """Compute the student's losses on images (N, 3, H, W)."""
        target, output = self.teacher(images), student.forward_student(images)
        losses = {}
        if 'hard' in self.weights:
            losses |= self.hard_losses(student, output, target, images)
        if 'soft' in self.weights:
            losses |= self.soft_losses(student, output, target)
        if 'features' in self.weights:
            losses |= self.feature_losses(output, target)
        return losses

    def hard_losses(
        self,
        student: UDASegmentor,
        output: SegOutput,
        target: SegOutput,
        images: Tensor,
    ) -> dict[str, Tensor]:
        """Compute the heads' weighted losses on the teacher's labels."""
        size = images.shape[-2:]
        logits = resize_as(student.decode_head, target.logits[0], size)
        labels, weight = confident_labels(logits, self.threshold)
        losses = student.supervised_loss(output, labels, 'distill', weight)
        factor = self.weights['hard']
        return {k: v * factor if 'loss' in k else v for k, v in losses.items()}

    def soft_losses(
        self, student: UDASegmentor, output: SegOutput, target: SegOutput
    ) -> dict[str, Tensor]:
        """Compute each head's divergence from the teacher.

        The classifiers of one head (CLAN) predict by their sum, so it alone
        is compared.
        """
        own = {'': student.main_logits(output)}
        own |= {
            prefix: logits
            for (prefix, head), logits in zip(
                student.heads().items(), output.logits, strict=False
            )
            if head is not student.decode_head
        }
        losses = {}
        for prefix, logits in own.items():
            size = logits.shape[-2:]
            other = resize_as(student.decode_head, target.logits[0], size)
            loss = soft_label_divergence(logits, other, self.temperature)
            name = f'distill.{prefix}loss_soft'
            losses[name] = self.weights['soft'] * loss
        return losses

    def feature_losses(
        self, output: SegOutput, target: SegOutput
    ) -> dict[str, Tensor]:
        """Compare feature directions at the size of the student's map."""
        for name, one in (('student', output), ('teacher', target)):
            if one.feat is None:
                raise UserError(
                    f"model.distillation.weights.features: the {name}'s head "
                    'uses conv_seg more than once, expected once'
                )
        other = F.adaptive_avg_pool2d(target.feat, output.feat.shape[-2:])
        loss = feature_direction(self.projection(output.feat), other)
        name = 'distill.loss_features'
        return {name: self.weights['features'] * loss}


def feature_channels(network: nn.Module) -> int:
    """Count the input channels of a network's classifier.

    Raises:
        UserError: Its head has no classifier ``conv_seg``.
    """
    head = network.decode_head
    if not hasattr(head, 'conv_seg'):
        raise UserError(
            'model.distillation.weights.features: the decode_head '
            f'{type(head).__name__} has no conv_seg, expected a head that '
            'classifies by it'
        )
    return head.conv_seg.in_channels
