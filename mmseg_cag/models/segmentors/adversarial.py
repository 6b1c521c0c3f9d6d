# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor, nn
from torch.func import functional_call

from mmseg_cag.errors import UserError
from mmseg_cag.models.losses.adversarial_loss import SOURCE, TARGET
from mmseg_cag.models.losses.head_loss import head_loss

from .base import UDASegmentor

# legend: N images, K classes, H W image, h w feature map


@MODELS.register_module()
class AdversarialSegmentor(UDASegmentor):
    """Adaptation in the space of outputs (AdaptSegNet, CVPR 2018).

    A discriminator learns to tell from class probabilities which domain an
    image is of; the student learns to make those of the target look like the
    source's. Each of the first levels (the decode head, then the auxiliary
    heads) has its own discriminator.

    .. code:: text

       source_loss()           CE of every head
       adapt_loss()
         student_loss()        judge of fixed weights on the target: "source"
         discriminator_loss()  the judge on detached probabilities: the truth

    The judge's weights are detached in the first and the student's output in
    the second, so one backward over their sum gives both their gradients
    (`JointOptimWrapper` steps the student and ``discriminators``).

    Args:
        discriminator: Config of a discriminator; ``in_channels`` is the number
            of classes.
        adversarial_loss: Config of the loss.
        adversarial_weights: The student's weight of it, by level.
        discriminator_weight: The discriminators' weight of it, per domain.
        target_size: Height and width at which the target is judged; by
            default those of its images. The source is judged at the size of
            its labels.
        **kwargs: Those of `UDASegmentor`.

    Raises:
        UserError: There are more weights than levels, or none.
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
        classes = self.decode_head.out_channels
        self.discriminators = nn.ModuleList(
            MODELS.build({**discriminator, 'in_channels': classes})
            for _ in adversarial_weights
        )
        self.adversarial_loss = MODELS.build(adversarial_loss)
        self.adversarial_weights = tuple(adversarial_weights)
        self.discriminator_weight = discriminator_weight
        self.target_size = target_size

    def heads(self) -> dict[str, nn.Module]:
        """The heads by the prefix of their losses, the decode head's first."""
        heads = {'': self.decode_head}
        if not self.with_auxiliary_head:
            return heads
        if not isinstance(self.auxiliary_head, nn.ModuleList):
            return {**heads, 'aux.': self.auxiliary_head}
        return heads | {
            f'aux_{i}.': head for i, head in enumerate(self.auxiliary_head)
        }

    def forward_view(self, images: Tensor) -> list[Tensor]:
        """Compute the scores (N, K, h, w) of every head."""
        pyramid = self.extract_feat(images)
        return [head(pyramid) for head in self.heads().values()]

    def scores_of(self, view: list[Tensor]) -> Tensor:
        """The scores of the decode head, which predicts."""
        return view[0]

    def source_loss(
        self, source: list[Tensor], data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """Compute the heads' own losses at the size of the labels."""
        return self.heads_loss(source, data_samples, 'source')

    def heads_loss(
        self,
        view: list[Tensor],
        data_samples: list[SegDataSample],
        domain: str,
    ) -> dict[str, Tensor]:
        """Compute the own loss of every head on images of one domain."""
        losses = {}
        for (prefix, head), scores in zip(
            self.heads().items(), view, strict=True
        ):
            own = head_loss(head, scores, data_samples)
            losses.update(add_prefix(own, f'{domain}.{prefix}'.rstrip('.')))
        return losses

    def adapt_loss(
        self,
        source: list[Tensor],
        labels: Tensor,
        target: list[Tensor],
        images: Tensor,
    ) -> dict[str, Tensor]:
        """Compute both players' losses at each level."""
        losses = {}
        for prefix, judge, weight, s, t in zip(
            self.heads(),
            self.discriminators,
            self.adversarial_weights,
            source,
            target,
            strict=False,  # later levels have no discriminator
        ):
            s = self.probabilities(s.detach(), labels.shape[-2:])
            t = self.probabilities(t, self.target_size or images.shape[-2:])
            losses[f'target.{prefix}loss_adv'] = weight * self.student_loss(
                judge, t
            )
            own = self.discriminator_loss(judge, s, t.detach())
            for domain, loss in own.items():
                losses[f'{domain}.{prefix}loss_dis'] = loss
        return losses

    def student_loss(self, judge: nn.Module, target: Tensor) -> Tensor:
        """Compute how far the judge is from taking the target for source."""
        return self.adversarial_loss(judge_fixed(judge, target), SOURCE)

    def discriminator_loss(
        self, judge: nn.Module, source: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Compute how far the judge is from the truth, by domain."""
        weight = self.discriminator_weight
        return {
            'source': weight * self.adversarial_loss(judge(source), SOURCE),
            'target': weight * self.adversarial_loss(judge(target), TARGET),
        }

    def probabilities(self, scores: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize scores (N, K, h, w) and turn them into probabilities."""
        return self.resize(scores, size).softmax(1)

    def resize(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize maps (N, ..., h, w) as the decode head does."""
        return resize(
            maps,
            size,
            mode='bilinear',
            align_corners=self.decode_head.align_corners,
            warning=False,
        )


def judge_fixed(judge: nn.Module, probabilities: Tensor) -> Tensor:
    """Apply a discriminator whose weights get no gradient from this use.

    Under distributed data parallel this matters too: a weight is waited for
    once a backward, and ``requires_grad`` is not toggled.
    """
    weights = {name: p.detach() for name, p in judge.named_parameters()}
    return functional_call(judge, weights, (probabilities,))
