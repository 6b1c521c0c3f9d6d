# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.class_scores import SCORES, ClassScores, best_two
from mmseg_cag.models.anchors.running_margin import RunningMargin
from mmseg_cag.models.mixing import Labelled

from .base import SegOutput, resize_labels
from .cag import feature_sizes, require_features
from .mic import MICSegmentor

# legend: N images, K classes, H W image

WEIGHTS = ('active', 'gap', 'active_share', 'confident_share')


@MODELS.register_module()
class AnchorTeacherSegmentor(MICSegmentor):
    """Category anchors inside a mean teacher: CAG without stages.

    Anchors are running means of the teacher's features of the source, moved
    at every step, and so is the margin from which a target pixel is active:
    its best class is as far ahead of the second as labels of the source need
    to be, to be right often enough. The modern family has one number for a
    batch, the share of confident pixels, in its place.

    .. code:: text

       teacher.update_parameters()  average of the students so far
       source_losses()              CE on the source
         move_anchors()             teacher -> AnchorBank, RunningMargin
       label_target()               teacher, AnchorBank -> labels, weights
       target_losses()              weighted CE on mixed and masked images

    Args:
        anchor_bank: Config of the anchors.
        pseudo_label_head: Config of the margin: a number, or ``auto``.
        labels: What labels are by: the nearest ``anchor``, the classifier's
            ``probability``, or ``both``, whose product ProDA labels by.
        margin_of: What the margin is of, one of these; None for ``labels``.
        weights: ``active``: 1 for active pixels, else 0; ``gap``: below the
            margin the part of it that is reached; ``active_share``: all the
            share of active ones; ``confident_share``: all the share of pixels
            whose probability is above the threshold, as in DACS.
        nearness: Weight of the distances beside the scores (``both``).
        margin_momentum: Share of a batch in the counts of `RunningMargin`.
        anchor_loss: Config of the student's distance to the anchors, wherever
            a label counts; None is without.
        **kwargs: Those of `MICSegmentor`.

    Raises:
        UserError: The head has no classifier ``conv_seg``, or a setting is
            none of those named.
    """

    own_state = ('anchor_bank', 'pseudo_label_head', 'running_margin')

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
        self.labels, self.weights = labels, weights
        self.margin_of = margin_of or labels
        for name, known in (
            ('labels', SCORES),
            ('margin_of', SCORES),
            ('weights', WEIGHTS),
        ):
            if (value := getattr(self, name)) not in known:
                raise UserError(
                    f'AnchorTeacherSegmentor: {name}={value!r}, expected one '
                    f'of {known}'
                )
        sizes = feature_sizes(self)
        self.anchor_bank = MODELS.build({**anchor_bank, **sizes})
        sizes.pop('channels')
        self.pseudo_label_head = MODELS.build({**pseudo_label_head, **sizes})
        self.running_margin = RunningMargin(**sizes, momentum=margin_momentum)
        corners = self.decode_head.align_corners
        self.scores = ClassScores(self.anchor_bank, nearness, corners)
        self.anchor_loss = MODELS.build(anchor_loss) if anchor_loss else None
        self.train()

    def source_losses(self, source: Labelled) -> dict[str, Tensor]:
        """Compute the parent's losses; first the anchors follow."""
        self.move_anchors(source)
        return super().source_losses(source)

    @torch.no_grad()
    def move_anchors(self, source: Labelled) -> None:
        """Move the margin, by what would be labelled, then the anchors."""
        output = self.teacher.forward_aside(source.images)
        require_features(self, output)
        feat, logits = output.feat, self.main_logits(output)
        labels = resize_labels(source.labels, feat)
        head = self.pseudo_label_head
        if head.is_auto:
            found = best_two(self.scores(feat, logits, self.margin_of))
            self.running_margin.add(*found, labels)
            margin = self.running_margin.margin(head.precision, head.per_class)
            head.margin.copy_(margin)
        self.anchor_bank.follow(feat, logits, labels)

    @torch.no_grad()
    def label_target(
        self, images: Tensor, data_samples: list[SegDataSample]
    ) -> Labelled:
        """Label target images (N, 3, H, W), and weigh the labels."""
        output = self.teacher(images)
        maps = output.feat, self.main_logits(output)
        size = images.shape[-2:]
        own = best_two(self.scores(*maps, self.labels, size))
        by_anchor = own
        if self.margin_of != self.labels:
            by_anchor = best_two(self.scores(*maps, self.margin_of, size))
        confident = self.weights == 'confident_share'
        logits = self.scores(*maps, 'probability', size)
        threshold = self.threshold if confident else 0.0
        _, weight = self.online_labels(logits, threshold, data_samples)
        if not confident:
            weight = weight * self.weigh(own[0], *by_anchor)
        self.observe(images=images)
        shown = own[0].where(weight > 0, self.decode_head.ignore_index)
        shown = resize_labels(shown, maps[1])
        self.observe(teacher=maps[1], probability=shown)
        return Labelled(images, own[0], weight)

    def weigh(self, labels: Tensor, best: Tensor, gap: Tensor) -> Tensor:
        """Weigh labels (N, H, W) where they are the best class, by its gap."""
        share = gap / self.pseudo_label_head.margin[best].clamp(min=1e-6)
        if self.weights != 'gap':
            share = (share >= 1).to(share)
        share = share.clamp(max=1).nan_to_num().where(labels == best, 0)
        if self.weights == 'active_share':
            share = share.mean().expand_as(share)
        return share

    def supervised_loss(
        self,
        output: SegOutput,
        labels: Tensor,
        prefix: str,
        weight: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the heads' losses, and the distance to the anchors."""
        losses = super().supervised_loss(output, labels, prefix, weight)
        if self.anchor_loss is None:
            return losses
        if weight is not None:
            labels = labels.where(weight > 0, self.decode_head.ignore_index)
        distance = self.anchor_loss(
            self.anchor_bank,
            output.feat,
            self.main_logits(output),
            resize_labels(labels, output.feat),
        )
        return losses | {f'{prefix}.{self.anchor_loss.loss_name}': distance}
