# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy
from typing import Any

import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmengine.model import normal_init
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.binary import two_class_scores
from mmseg_cag.models.heads.co_training_head import CoTrainingHead
from mmseg_cag.models.losses.adversarial_loss import (
    SOURCE,
    TARGET,
    at_least_float32,
)

from .adversarial import AdversarialSegmentor, frozen_discriminator
from .base import SegOutput, run_network

# legend: N images, K classes, H W image, h w feature map


@MODELS.register_module()
class CLANSegmentor(AdversarialSegmentor):
    """Category-level adversarial network (CLAN, CVPR 2019).

    Two classifiers on the same features agree where the domains are already
    aligned. A target pixel's adversarial loss is weighted by their
    disagreement; their weights are pushed apart to keep them different.

    .. code:: text

       learn_from_source()       focal loss of each classifier
       adversarial_losses()      after the preheat with, before it without
         disagreement()          a weight of each target pixel
         student_loss()          frozen discriminator: "source"
         weight_loss             the classifiers' weights pushed apart
         discriminator_loss()    discriminator on detached inputs

    The classifiers are those of a `CoTrainingHead`, or ``conv_seg`` of any
    other mmseg head and a copy of its layer, so training can start from a
    checkpoint with one classifier. Prediction sums their scores.

    Args:
        weight_loss: Config of the weight discrepancy loss.
        preheat: Share of the T iterations without pixel weights.
        total_iters: Iterations T, by default the run's; at iteration i the
            student's adversarial loss and the weight loss are scaled by 1 -
            i/T.
        discriminator_weight: The discriminator's weight, per domain.
        **kwargs: Arguments of `AdversarialSegmentor`, with one level.

    Raises:
        UserError: There are auxiliary heads, or the classifiers are not two.
    """

    prediction_parts = (
        *AdversarialSegmentor.prediction_parts,
        'co_classifier',
    )

    def __init__(
        self,
        weight_loss: dict,
        preheat: float = 0.05,
        total_iters: int | None = None,
        discriminator_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(discriminator_weight=discriminator_weight, **kwargs)
        if self.with_auxiliary_head:
            raise UserError(
                'CLANSegmentor: model.auxiliary_head is set, expected none: '
                'both classifiers belong to the decode head'
            )
        self.co_classifier = make_co_classifier(self.decode_head)
        self.weight_loss = MODELS.build(weight_loss)
        self.preheat = preheat
        self.total_iters = total_iters

    def forward_student(
        self, images: Tensor, auxiliary: bool = True
    ) -> SegOutput:
        """Compute the scores (N, K, h, w) of both classifiers."""
        if self.co_classifier is not None:
            output = run_network(self, images)
            second = two_class_scores(self.co_classifier(output.feat))
            output.logits.append(second)
            return output
        pyramid = self.extract_feat(images)
        return SegOutput(self.decode_head.forward_each(pyramid), None, pyramid)

    def main_logits(self, output: SegOutput) -> Tensor:
        """Return the sum of both classifiers' scores."""
        return sum(output.logits)

    def heads(self) -> dict[str, nn.Module]:
        """Return the decode head once per classifier."""
        return {'1': self.decode_head, '2': self.decode_head}

    def adversarial_losses(
        self,
        source: SegOutput,
        target: SegOutput,
        source_size: tuple[int, int],
        image_size: tuple[int, int],
    ) -> dict[str, Tensor]:
        """Compute student and discriminator losses of this iteration."""
        progress = self.progress()
        damping = 1 - progress
        [discriminator], [factor] = (
            self.discriminators,
            self.adversarial_weights,
        )
        scores = self.main_logits(source).detach()
        scores = self.resize(scores, source_size)
        size = self.target_size or image_size
        both = [self.resize(logits, size) for logits in target.logits]
        weights = disagreement(*both) if progress > self.preheat else None
        probabilities = sum(both).softmax(1)
        loss_adv = self.student_loss(discriminator, probabilities, weights)
        loss_weight = self.weight_loss(*self.classifiers())
        loss_dis = self.discriminator_loss(
            discriminator, scores.softmax(1), probabilities, weights
        )
        return {
            'target.loss_adv': factor * damping * loss_adv,
            f'target.{self.weight_loss.loss_name}': damping * loss_weight,
            **{f'{key}.loss_dis': loss for key, loss in loss_dis.items()},
        }

    def student_loss(
        self,
        discriminator: nn.Module,
        target: Tensor,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Compute the student's adversarial loss on target probabilities.

        As released, gradients also flow through the pixel weights.
        """
        scores = frozen_discriminator(discriminator, target)
        scores = self.resize(scores, target.shape[-2:])
        return self.adversarial_loss(scores, SOURCE, weights)

    def discriminator_loss(
        self,
        discriminator: nn.Module,
        source: Tensor,
        target: Tensor,
        weights: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the discriminator's loss on each domain's probabilities."""
        if weights is not None:
            weights = weights.detach()
        losses = {}
        for name, domain, maps, counts in (
            ('source', SOURCE, source, None),
            ('target', TARGET, target, weights),
        ):
            scores = discriminator(maps.detach())
            scores = self.resize(scores, maps.shape[-2:])
            loss = self.adversarial_loss(scores, domain, counts)
            losses[name] = self.discriminator_weight * loss
        return losses

    def progress(self) -> float:
        """Return the finished share of the runner's iterations."""
        hub = MessageHub.get_current_instance()
        total = self.total_iters or hub.get_info('max_iters', 1)
        return hub.get_info('iter', 0) / total

    def classifiers(self) -> list[nn.Module]:
        """Return the two classifiers."""
        if self.co_classifier is None:
            return list(self.decode_head.heads)
        return [self.decode_head.conv_seg, self.co_classifier]

    def _forward(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> Tensor:
        """Sum the scores (N, K, h, w) of both classifiers."""
        return self.main_logits(self.forward_student(inputs))


def make_co_classifier(head: nn.Module) -> nn.Module | None:
    """Make a second, freshly initialised classifier for a head.

    Returns:
        The classifier, or None if the head has two.

    Raises:
        UserError: The head has neither two classifiers nor ``conv_seg``.
    """
    if isinstance(head, CoTrainingHead) and len(head.heads) == 2:
        return None
    if not hasattr(head, 'conv_seg'):
        raise UserError(
            f'CLANSegmentor: decode_head {type(head).__name__} has neither '
            'two heads (CoTrainingHead) nor a classifier conv_seg'
        )
    twin = copy.deepcopy(head.conv_seg)
    normal_init(twin, std=0.01)  # mmseg's initialisation
    return twin


def disagreement(first: Tensor, second: Tensor) -> Tensor:
    """Compute 1 - cosine of two classifiers' probabilities.

    Args:
        first: Scores (N, K, H, W) of one.
        second: Scores (N, K, H, W) of the other.

    Returns:
        (N, 1, H, W), 0 where they agree.
    """
    one, two = (at_least_float32(s).softmax(1) for s in (first, second))
    cosine = F.cosine_similarity(one, two, dim=1)
    return 1 - cosine.unsqueeze(1)
