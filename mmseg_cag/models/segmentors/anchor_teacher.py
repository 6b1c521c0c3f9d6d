# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.running_margin import RunningMargin
from mmseg_cag.models.mixing import Labelled
from mmseg_cag.models.online_labels import online_pseudo_labels

from .base import SegOutput, resize_labels
from .cag import feature_sizes, require_features
from .mic import MICSegmentor

# legend: N images, K classes, H W image

LABELS = ('anchor', 'probability')
WEIGHTS = ('active', 'active_share', 'confident_share')


@MODELS.register_module()
class AnchorTeacherSegmentor(MICSegmentor):
    """Category anchors inside a mean teacher: CAG without stages.

    The anchors are running means of the teacher's features of the source,
    moved at every step, and so is the margin, by which the teacher's pseudo
    labels count pixel by pixel; where DACS and its heirs have one number for
    a batch, the share of confident pixels. All of it is in the checkpoint.

    .. code:: text

       teacher.update_parameters()  average of the students so far
       source_losses()              CE on the source
         move_anchors()             teacher -> AnchorBank, RunningMargin
       label_target()               teacher -> AnchorBank -> labels, weights
       target_losses()              weighted CE on mixed and masked images

    Args:
        anchor_bank: Config of the anchors.
        pseudo_label_head: Config of the margin: a number, or ``auto``, which
            follows the precision of the source's labels.
        labels: What labels target pixels: the nearest ``anchor``, or the
            classifier by ``probability``.
        weights: How target pixels count. ``active``: 1 where the label is the
            nearest anchor's, by the margin or more, else 0;
            ``active_share``: all by the share of those; ``confident_share``:
            all by the share of pixels whose probability is above the
            threshold, as in DACS.
        margin_momentum: Share of a batch in the counts of `RunningMargin`.
        anchor_loss: Config of the distance of the student's features to the
            anchors, wherever a pixel with a label counts; None is without.
        **kwargs: Those of its parent.

    Raises:
        UserError: The head has no classifier ``conv_seg``, or ``labels`` or
            ``weights`` is none of these.
    """

    own_state = ('anchor_bank', 'pseudo_label_head', 'running_margin')

    def __init__(
        self,
        anchor_bank: dict,
        pseudo_label_head: dict,
        labels: str = 'anchor',
        weights: str = 'active',
        margin_momentum: float = 0.1,
        anchor_loss: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value, known in (
            ('labels', labels, LABELS),
            ('weights', weights, WEIGHTS),
        ):
            if value not in known:
                raise UserError(
                    f'AnchorTeacherSegmentor: {name}={value!r}, expected one '
                    f'of {known}'
                )
        self.labels, self.weights = labels, weights
        sizes = feature_sizes(self)
        self.anchor_bank = MODELS.build({**anchor_bank, **sizes})
        sizes.pop('channels')
        self.pseudo_label_head = MODELS.build({**pseudo_label_head, **sizes})
        self.running_margin = RunningMargin(**sizes, momentum=margin_momentum)
        self.anchor_loss = MODELS.build(anchor_loss) if anchor_loss else None
        self.train()

    def source_losses(self, source: Labelled) -> dict[str, Tensor]:
        """Compute the parent's losses; first the anchors follow."""
        self.move_anchors(source)
        return super().source_losses(source)

    @torch.no_grad()
    def move_anchors(self, source: Labelled) -> None:
        """Move the margin, by what the anchors label, then the anchors."""
        output = self.teacher.forward_aside(source.images)
        require_features(self, output)
        labels = resize_labels(source.labels, output.feat)
        head = self.pseudo_label_head
        if head.is_auto:
            label, gap = self.anchor_bank.nearest(output.feat)
            self.running_margin.add(label, gap, labels)
            head.margin.copy_(
                self.running_margin.margin(head.precision, head.per_class)
            )
        logits = self.main_logits(output)
        self.anchor_bank.follow(output.feat, logits, labels)

    @torch.no_grad()
    def label_target(
        self, images: Tensor, data_samples: list[SegDataSample]
    ) -> Labelled:
        """Label target images (N, 3, H, W), and weigh the labels."""
        output = self.teacher(images)
        self.show(images, output)
        size, corners = images.shape[-2:], self.decode_head.align_corners
        logits = resize(
            self.main_logits(output),
            size,
            mode='bilinear',
            align_corners=corners,
        )
        likeliest, confident = online_pseudo_labels(
            logits, self.threshold, **self.untrusted
        )
        nearest, gap = self.anchor_bank.nearest_at(output.feat, size, corners)
        labels = nearest if self.labels == 'anchor' else likeliest
        if self.weights == 'confident_share':
            return Labelled(images, labels, confident)
        margin = self.pseudo_label_head.margin[nearest]
        active = ((gap >= margin) & (labels == nearest)).to(confident)
        if self.weights == 'active_share':
            active = active.mean().expand_as(active)
        _, trusted = online_pseudo_labels(logits, 0.0, **self.untrusted)
        return Labelled(images, labels, active * trusted)

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

    def show(self, images: Tensor, output: SegOutput) -> None:
        """Hand the maps of the target to the observers."""
        if not self.observers:
            return
        distances = self.anchor_bank.distances(output.feat)
        labels = self.pseudo_label_head.by_anchor(distances)
        self.observe(images=images)
        self.observe(teacher=self.main_logits(output), distances=distances)
        self.observe(anchor=labels)
