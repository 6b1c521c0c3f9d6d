# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.func import functional_call

from mmseg_cag.errors import UserError
from mmseg_cag.models.losses.adversarial_loss import SOURCE, TARGET
from mmseg_cag.models.losses.head_loss import resize_as

from .base import SegOutput, UDASegmentor

# legend: N images, K classes, H W image, h w feature map


@MODELS.register_module()
class AdversarialSegmentor(UDASegmentor):
    """Output-space adversarial adaptation (AdaptSegNet, CVPR 2018).

    A discriminator learns to classify the domain of an image from class
    probabilities; the student learns to make target probabilities look like
    source ones. Each level (the decode head, then the auxiliary heads) has its
    own discriminator.

    .. code:: text

       learn_from_source()       CE of every head on the source
       pseudo_label_loss()       nothing (BDL: CE on pseudo labels)
       adversarial_losses()
         student_loss()          frozen discriminator on the target: "source"
         discriminator_loss()    discriminator on detached probabilities

    The discriminator's weights are detached in the first and the student's
    output in the second, so one backward pass over the sum gives both
    gradients (`JointOptimWrapper` steps the student and ``discriminators``).

    Args:
        discriminator: Config of a discriminator; ``in_channels`` is set to the
            number of classes.
        adversarial_loss: Config of the loss.
        adversarial_weights: Weight of the student's adversarial loss, by
            level.
        discriminator_weight: Weight of a discriminator's loss, per domain.
        target_size: Height and width of the discriminator's target input; by
            default those of the images. The source input has the size of its
            labels.
        **kwargs: Arguments of `UDASegmentor`.

    Raises:
        UserError: There are no weights, or more than levels.
    """

    def __init__(
        self,
        discriminator: dict,
        adversarial_loss: dict,
        adversarial_weights: Sequence[float],
        discriminator_weight: float = 0.5,
        target_size: tuple[int, int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        levels = len(self.heads())
        if not 1 <= len(adversarial_weights) <= levels:
            raise UserError(
                f'{type(self).__name__}: {len(adversarial_weights)} '
                f'adversarial_weights, expected 1 to {levels}: one for the '
                'decode head and for each auxiliary head'
            )
        classes = self.num_classes
        self.discriminators = nn.ModuleList(
            MODELS.build({**discriminator, 'in_channels': classes})
            for _ in adversarial_weights
        )
        self.adversarial_loss = MODELS.build(adversarial_loss)
        self.adversarial_weights = tuple(adversarial_weights)
        self.discriminator_weight = discriminator_weight
        self.target_size = target_size

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: dict[str, list[SegDataSample]],
    ) -> dict[str, Tensor]:
        """Compute the losses of student and discriminators."""
        labelled = self.labelled(inputs['source'], data_samples['source'])
        source, losses = self.learn_from_source(labelled)
        images = inputs['target']
        target = self.forward_student(images)
        self.observe(images=images, student=self.main_logits(target).detach())
        losses |= self.pseudo_label_loss(target, data_samples['target'])
        losses |= self.adversarial_losses(
            source, target, labelled.labels.shape[-2:], images.shape[-2:]
        )
        return losses

    def pseudo_label_loss(
        self, target: SegOutput, data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """Compute losses on target labels: none in the base class.

        Methods with pseudo labels on disk override this.
        """
        return {}

    def adversarial_losses(
        self,
        source: SegOutput,
        target: SegOutput,
        source_size: tuple[int, int],
        image_size: tuple[int, int],
    ) -> dict[str, Tensor]:
        """Compute student and discriminator losses at each level.

        Args:
            source: The student's output on the source.
            target: The student's output on the target.
            source_size: Height and width of the source input.
            image_size: Height and width of the target images.
        """
        losses = {}
        for prefix, discriminator, weight, s, t in zip(
            self.heads(),
            self.discriminators,
            self.adversarial_weights,
            source.logits,
            target.logits,
            strict=False,  # later levels have none
        ):
            s = self.probabilities(s.detach(), source_size)
            t = self.probabilities(t, self.target_size or image_size)
            loss_adv = weight * self.student_loss(discriminator, t)
            losses[f'target.{prefix}loss_adv'] = loss_adv
            own = self.discriminator_loss(discriminator, s, t.detach())
            for domain, loss in own.items():
                losses[f'{domain}.{prefix}loss_dis'] = loss
        return losses

    def student_loss(self, discriminator: nn.Module, target: Tensor) -> Tensor:
        """Compute the student's adversarial loss on target probabilities."""
        scores = frozen_discriminator(discriminator, target)
        return self.adversarial_loss(scores, SOURCE)

    def discriminator_loss(
        self, discriminator: nn.Module, source: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Compute the discriminator's loss on each domain's probabilities."""
        weight = self.discriminator_weight
        return {
            name: weight * self.adversarial_loss(discriminator(maps), domain)
            for name, domain, maps in (
                ('source', SOURCE, source),
                ('target', TARGET, target),
            )
        }

    def probabilities(self, scores: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize scores (N, K, h, w) and apply the softmax."""
        return self.resize(scores, size).softmax(1)

    def resize(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize maps (N, ..., h, w) as the decode head does."""
        return resize_as(self.decode_head, maps, size)


def frozen_discriminator(
    discriminator: nn.Module, probabilities: Tensor
) -> Tensor:
    """Apply a discriminator without gradients for its weights.

    Works with distributed data parallel, which expects each weight once per
    backward pass: ``requires_grad`` is not toggled.
    """
    weights = {
        name: p.detach() for name, p in discriminator.named_parameters()
    }
    return functional_call(discriminator, weights, (probabilities,))
