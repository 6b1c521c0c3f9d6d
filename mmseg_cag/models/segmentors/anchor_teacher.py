# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_cag.errors import require_one_of
from mmseg_cag.models.anchors.class_scores import SCORES, ClassScores, best_two
from mmseg_cag.models.anchors.running_margin import RunningMargin
from mmseg_cag.models.mixing import Labelled
from mmseg_cag.models.online_labels import mean_weight

from .base import SegOutput, resize_labels
from .cag import feature_sizes, require_features
from .mic import MICSegmentor

# legend: N images, K classes, H W image

WEIGHTS = ('active', 'gap', 'active_share', 'confident_share')


@MODELS.register_module()
class AnchorTeacherSegmentor(MICSegmentor):
    """Category anchors inside a mean teacher: CAG without stages.

    Anchors are running means of the teacher's source features. A target pixel
    is active where the lead of its best class over the second reaches the
    margin at which source labels are precise enough.

    .. code:: text

       source_losses()              CE on the source
         move_anchors()             teacher -> AnchorBank, RunningMargin
       label_target()               teacher, AnchorBank -> labels, weights

    Args:
        anchor_bank: Config of the anchors.
        pseudo_label_head: Config of the margin, a number or ``auto``.
        labels: Scores that labels are based on: the nearest ``anchor``, the
            classifier's ``probability``, or ``both``, their product as in
            ProDA.
        margin_of: Scores that the margin applies to, one of these; None for
            ``labels``.
        weights: ``active``: 1 or 0; ``gap``: gap / margin below the margin;
            ``active_share``: the same for all pixels; ``confident_share``: as
            in DACS.
        nearness: Weight of the distances relative to the scores (``both``).
        margin_momentum: Weight of a batch in the counts of `RunningMargin`.
        anchor_loss: Config of the student's distance to the anchors.
        **kwargs: Arguments of `MICSegmentor`.
    """

    own_state = ('start', 'anchor_bank', 'pseudo_label_head', 'running_margin')

    def __init__(
        self,
        anchor_bank: dict,
        pseudo_label_head: dict,
        labels: str = 'both',
        margin_of: str | None = None,
        weights: str = 'active',
        nearness: float = 1.0,
        margin_momentum: float = 0.1,
        anchor_loss: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.labels, self.margin_of = labels, margin_of or labels
        self.weights = weights
        require_one_of('model.labels', labels, SCORES)
        require_one_of('model.margin_of', self.margin_of, SCORES)
        require_one_of('model.weights', weights, WEIGHTS)
        sizes = feature_sizes(self)
        self.anchor_bank = MODELS.build({**anchor_bank, **sizes})
        sizes.pop('channels')
        self.pseudo_label_head = MODELS.build({**pseudo_label_head, **sizes})
        self.running_margin = RunningMargin(**sizes, momentum=margin_momentum)
        corners = self.decode_head.align_corners
        self.scores = ClassScores(self.anchor_bank, nearness, corners)
        self.anchor_loss = MODELS.build(anchor_loss) if anchor_loss else None

    def source_losses(self, source: Labelled) -> dict[str, Tensor]:
        """Update the anchors, then compute the parent's losses."""
        self.move_anchors(source)
        return super().source_losses(source)

    @torch.no_grad()
    def move_anchors(self, source: Labelled) -> None:
        """Update the margin on labels of the source, then the anchors."""
        with self.statistics_of('source', source.samples):
            output = self.teacher.forward_aside(source.images)
        require_features(self, output)
        feat, logits = output.feat, self.main_logits(output)
        labels = resize_labels(source.labels, feat)
        head, running = self.pseudo_label_head, self.running_margin
        if head.is_auto:
            found = best_two(self.scores(feat, logits, self.margin_of))
            running.add(*found, labels)
            head.margin.copy_(running.margin(head.precision, head.per_class))
        domains = [sample.get('domain') for sample in source.samples]
        self.anchor_bank.follow(feat, logits, labels, domains)

    @torch.no_grad()
    def label_target(
        self, images: Tensor, data_samples: list[SegDataSample]
    ) -> Labelled:
        """Label target images (N, 3, H, W) and weight the labels."""
        output = self.teacher(images)
        logits = self.at_images(self.main_logits(output), images)
        labels, gap = best_two(self.scores(output.feat, logits, self.labels))
        if self.weights == 'confident_share':
            _, weight = self.online_labels(logits, data_samples)
        else:
            weight = self.weigh(output.feat, logits, labels, gap)
            if self.weights == 'active_share':
                weight = mean_weight(weight, data_samples)
            weight = self.online_labels.discard(weight, data_samples)
        if self.observers:
            teacher = self.main_logits(output)
            shown = labels.where(weight > 0, self.decode_head.ignore_index)
            shown = resize_labels(shown, teacher)
            self.observe(images=images, teacher=teacher, probability=shown)
        return Labelled(images, labels, weight)

    def weigh(
        self, feat: Tensor, logits: Tensor, labels: Tensor, gap: Tensor
    ) -> Tensor:
        """Weight labels (N, H, W) by their gap relative to the margin."""
        best, partly = labels, self.weights == 'gap'
        if self.margin_of != self.labels:
            best, gap = best_two(self.scores(feat, logits, self.margin_of))
        return self.pseudo_label_head.weigh(labels, best, gap, partly=partly)

    def labelled_loss(
        self, output: SegOutput, batch: Labelled, prefix: str
    ) -> dict[str, Tensor]:
        """Compute the heads' losses and the distance to the anchors."""
        losses = super().labelled_loss(output, batch, prefix)
        if self.anchor_loss is None:
            return losses
        labels = resize_labels(batch.counted_labels(), output.feat)
        name = f'{prefix}.{self.anchor_loss.loss_name}'
        losses[name] = self.anchor_loss(
            self.anchor_bank, output.feat, self.main_logits(output), labels
        )
        return losses
