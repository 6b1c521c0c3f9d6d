# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy
from typing import Any

import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.class_means import Centroids
from mmseg_cag.models.anchors.pixel_sampler import PixelSample
from mmseg_cag.models.losses.head_loss import pixel_loss

from .base import UDASegmentor, View, forward_view, gt_labels, resize_labels

# legend: N images, K classes, C feature channels, H W image, h w feature map


@MODELS.register_module()
class CAGSegmentor(UDASegmentor):
    """Category anchor-guided domain adaptation (CAG-UDA, NeurIPS 2019).

    A frozen labeler, the student as it was when the stage began, labels
    target pixels by the nearest category anchor; the student learns from
    cross entropy on both domains and is drawn to the anchors in both.

    .. code:: text

       adapt_loss()
         label_target()    labeler -> AnchorBank -> PseudoLabelHead
         target_loss()     CE on the pseudo labels
         anchor_loss       distance to the anchors, source and target

    Hooks call `start_stage` (student -> labeler), then `collect_centroids`
    for each source batch and `store_anchors`.

    Args:
        anchor_bank: Config of the anchors; ``num_classes`` and ``channels``
            are those of the decode head.
        pseudo_label_head: Config of the pseudo labels.
        pseudo_label_loss: Config of the cross entropy on pseudo labels.
        anchor_loss: Config of the distance loss; None trains without.
        **kwargs: Those of `UDASegmentor`.

    Raises:
        UserError: The decode head has no classifier ``conv_seg``.
    """

    def __init__(
        self,
        anchor_bank: dict,
        pseudo_label_head: dict,
        pseudo_label_loss: dict,
        anchor_loss: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        classifier = getattr(self.decode_head, 'conv_seg', None)
        if classifier is None:
            raise UserError(
                f'CAGSegmentor: decode_head {type(self.decode_head).__name__} '
                'has no conv_seg, whose input the anchors live in; expected a '
                'head that classifies by it'
            )
        sizes = dict(num_classes=classifier.out_channels)
        self.anchor_bank = MODELS.build(
            {**anchor_bank, **sizes, 'channels': classifier.in_channels}
        )
        self.pseudo_label_head = MODELS.build({**pseudo_label_head, **sizes})
        self.pseudo_label_loss = MODELS.build(pseudo_label_loss)
        self.anchor_loss = MODELS.build(anchor_loss) if anchor_loss else None
        # A plain container: init_weights must not reach the labeler.
        self.labeler = nn.ModuleDict(copy.deepcopy(self.student_parts()))
        self.labeler.requires_grad_(False)
        self.register_buffer('stage', torch.tensor(0))
        self.train()

    def train(self, mode: bool = True) -> CAGSegmentor:
        """Set the student's mode; the labeler stays in evaluation mode."""
        super().train(mode)
        self.labeler.eval()
        return self

    def adapt_loss(
        self, source: View, labels: Tensor, target: View, images: Tensor
    ) -> dict[str, Tensor]:
        """Compute CE on pseudo labels and the distance losses."""
        pseudo_labels = self.label_target(images)
        losses = add_prefix(self.target_loss(target, pseudo_labels), 'target')
        if self.anchor_loss is not None:
            name = self.anchor_loss.loss_name
            labels = resize_labels(labels, source.feat)
            losses[f'source.{name}'] = self.anchor_loss(
                self.anchor_bank, source.feat, source.logits, labels
            )
            losses[f'target.{name}'] = self.anchor_loss(
                self.anchor_bank,
                target.feat,
                target.logits,
                pseudo_labels['anchor'],
            )
        return losses

    @torch.no_grad()
    def label_target(self, images: Tensor) -> dict[str, Tensor]:
        """Label target images (N, 3, H, W) by the frozen labeler.

        Returns:
            Label maps (N, h, w) int64 by kind, of the kinds in use.
        """
        view = self._labeler_view(images)
        head = self.pseudo_label_head
        labels = {}
        self.show(labeler=view.logits)
        if 'anchor' in head.by or self.anchor_loss is not None:
            label, gap = self.anchor_bank.nearest(view.feat)
            labels['anchor'] = head.by_gap(label, gap)
            if self.watchers:
                self.show(distances=self.anchor_bank.distances(view.feat))
        if 'probability' in head.by:
            labels['probability'] = head.by_probability(view.logits)
        self.show(**labels)
        return labels

    def target_loss(
        self, target: View, pseudo_labels: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Average the cross entropy over the kinds of pseudo labels.

        Computed at the size of the logits (as released). Beside it stands
        the share of labelled pixels of each kind, for the log.
        """
        head = self.pseudo_label_head
        losses = {}
        for kind in head.by:
            labels = pseudo_labels[kind]
            loss = pixel_loss(
                self.pseudo_label_loss,
                target.logits,
                labels,
                head.ignore_index,
            )
            losses[f'loss_ce_{kind}'] = loss / len(head.by)
            losses[f'active_{kind}'] = (
                (labels != head.ignore_index).float().mean()
            )
        return losses

    @torch.no_grad()
    def start_stage(self) -> None:
        """Copy the student into the labeler and count the stage."""
        for name, part in self.student_parts().items():
            self.labeler[name].load_state_dict(part.state_dict())
        self.stage += 1

    @torch.no_grad()
    def collect_centroids(
        self,
        centroids: Centroids,
        sample: PixelSample | None,
        images: Tensor,
        data_samples: list[SegDataSample],
    ) -> None:
        """Add a labelled source batch to the running class means.

        Args:
            centroids: The running means, changed in place.
            sample: Pixels that an automatic margin is chosen on, changed in
                place; None for a fixed margin.
            images: Source images (N, 3, H, W) float32.
            data_samples: Their samples, with labels.
        """
        view = self._labeler_view(images)
        labels = resize_labels(gt_labels(data_samples), view.feat)
        self.anchor_bank.accumulate(centroids, view.feat, view.logits, labels)
        if sample is not None:
            sample.add(view.feat, labels)

    def store_anchors(
        self, centroids: Centroids, sample: PixelSample | None
    ) -> None:
        """Make the running means of all ranks the anchors, with a margin."""
        centroids.reduce()
        self.anchor_bank.store(centroids)
        if sample is not None:
            feat, labels = sample.gather()
            distances = self.anchor_bank.distances(feat[:, :, None, None])
            self.pseudo_label_head.calibrate(distances[:, :, 0, 0], labels)

    @torch.inference_mode()
    def _labeler_view(self, images: Tensor) -> View:
        parts = self.labeler
        neck = parts['neck'] if 'neck' in parts else None
        return forward_view(
            parts['backbone'], neck, parts['decode_head'], images
        )

    def student_parts(self) -> dict[str, nn.Module]:
        """The modules that make a prediction, by name."""
        names = ['backbone', 'decode_head'] + ['neck'] * self.with_neck
        return {name: getattr(self, name) for name in names}

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any
    ) -> None:
        """Fill in what the checkpoint of a stock segmentor lacks.

        Its labeler is that segmentor itself; anchors, margin and stage stay
        as they are. What the student lacks is still reported as missing.
        """
        own = self.state_dict(prefix=prefix)
        for key in own.keys() - state_dict.keys():
            part = key.removeprefix(prefix).split('.')[0]
            if part == 'labeler':
                twin = key.replace('labeler.', '', 1)
                state_dict[key] = state_dict.get(twin, own[key])
            elif part not in self.student_parts():
                state_dict[key] = own[key]
        super()._load_from_state_dict(state_dict, prefix, *args)
