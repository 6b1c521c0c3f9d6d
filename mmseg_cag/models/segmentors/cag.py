# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.class_means import RunningClassMeans
from mmseg_cag.models.anchors.pseudo_label_head import PixelSampler
from mmseg_cag.models.data_preprocessor import hide_padding, padding_of
from mmseg_cag.models.losses.head_loss import pixel_loss

from .base import SegOutput, UDASegmentor, gt_labels, resize_labels

# legend: N images, K classes, C feature channels, H W image, h w feature map


@MODELS.register_module()
class CAGSegmentor(UDASegmentor):
    """Category anchor-guided domain adaptation (CAG-UDA, NeurIPS 2019).

    A frozen teacher, the student at the start of the stage, labels target
    pixels by the nearest category anchor. The student learns from cross
    entropy on both domains, and its features are pulled to the anchors in
    both.

    .. code:: text

       learn_from_source()   CE on the source
       label_target()        teacher -> AnchorBank -> PseudoLabelHead
       pseudo_label_losses() CE on the pseudo labels
       anchor_losses()       distance to the anchors, source and target

    At the start of a stage the loop calls `start_stage` (student -> teacher);
    then `AnchorHook` calls `collect_centroids` for each source batch, and
    `store_anchors`.

    Args:
        anchor_bank: Config of the anchors; ``num_classes`` and ``channels``
            are those of the decode head.
        pseudo_label_head: Config of the pseudo labels.
        pseudo_label_loss: Config of the cross entropy on pseudo labels.
        anchor_loss: Config of the distance loss; None trains without.
        teacher: Config of the `Teacher`.
        **kwargs: Arguments of `UDASegmentor`.

    Raises:
        UserError: The decode head has no classifier ``conv_seg``.
    """

    own_state = ('anchor_bank', 'pseudo_label_head', 'stage')

    def __init__(
        self,
        anchor_bank: dict,
        pseudo_label_head: dict,
        pseudo_label_loss: dict,
        anchor_loss: dict | None = None,
        teacher: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        sizes = feature_sizes(self)
        self.anchor_bank = MODELS.build({**anchor_bank, **sizes})
        sizes.pop('channels')
        self.pseudo_label_head = MODELS.build({**pseudo_label_head, **sizes})
        self.pseudo_label_loss = MODELS.build(pseudo_label_loss)
        self.anchor_loss = MODELS.build(anchor_loss) if anchor_loss else None
        teacher = teacher or dict(type='Teacher')
        self.teacher = MODELS.build({**teacher, 'student': self})
        self.register_buffer('stage', torch.tensor(0))
        self.train()

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: dict[str, list[SegDataSample]],
    ) -> dict[str, Tensor]:
        """Compute CE on both domains and the anchor distances."""
        labelled = self.labelled(inputs['source'], data_samples['source'])
        source, losses = self.learn_from_source(labelled)
        images = inputs['target']
        target = self.forward_student(images, auxiliary=False)
        self.observe(images=images, student=self.main_logits(target).detach())
        pseudo_labels = self.label_target(images, data_samples['target'])
        losses |= self.pseudo_label_losses(target, pseudo_labels)
        losses |= self.anchor_losses(
            source=(source, labelled.labels),
            target=(target, pseudo_labels.get('anchor')),
        )
        return losses

    @torch.no_grad()
    def label_target(
        self, images: Tensor, samples: list[SegDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Label target images (N, 3, H, W), not padding, with the teacher.

        Returns:
            Label maps (N, h, w) int64 of each kind in use.

        Raises:
            UserError: The head's features are ambiguous.
        """
        output = self.teacher(images)
        require_features(self, output)
        logits = self.main_logits(output)
        head = self.pseudo_label_head
        labels = {}
        self.observe(teacher=logits)
        if 'anchor' in head.by or self.anchor_loss is not None:
            label, gap = self.anchor_bank.nearest(output.feat)
            labels['anchor'] = head.by_gap(label, gap)
            if self.observers:
                distances = self.anchor_bank.distances(output.feat)
                self.observe(distances=distances)
        if 'probability' in head.by:
            labels['probability'] = head.by_probability(logits)
        if head.unknown is not None:
            distances = self.anchor_bank.distances(output.feat)
            labels = {
                kind: head.hide_unknown(own, distances)
                for kind, own in labels.items()
            }
        padding = padding_of(samples, images)
        for kind, own in labels.items():
            labels[kind] = hide_padding(own, padding, head.ignore_index)
        self.observe(**labels)
        return labels

    def pseudo_label_losses(
        self, target: SegOutput, pseudo_labels: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Average the cross entropy over the kinds of pseudo labels.

        Computed at the size of the logits (as released). Also returns the
        share of labelled pixels of each kind for the log.
        """
        head = self.pseudo_label_head
        losses = {}
        for kind in head.by:
            labels = pseudo_labels[kind]
            loss = pixel_loss(
                self.pseudo_label_loss,
                self.main_logits(target),
                labels,
                head.ignore_index,
            )
            losses[f'target.loss_ce_{kind}'] = loss / len(head.by)
            losses[f'target.active_{kind}'] = (
                (labels != head.ignore_index).float().mean()
            )
        return losses

    def anchor_losses(
        self, **domains: tuple[SegOutput, Tensor]
    ) -> dict[str, Tensor]:
        """Compute each domain's distances to its labels' anchors.

        Args:
            **domains: The student's output and the labels, of any size.
        """
        if self.anchor_loss is None:
            return {}
        return {
            f'{domain}.{self.anchor_loss.loss_name}': self.anchor_loss(
                self.anchor_bank,
                output.feat,
                self.main_logits(output),
                resize_labels(labels, output.feat),
            )
            for domain, (output, labels) in domains.items()
        }

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Predict classes and, if configured, unknown pixels.

        With ``test_cfg.unknown`` each sample has ``pred_unknown`` (1, H, W)
        bool in addition to ``pred_sem_seg``. This needs a second pass, which
        sees whole images, because the limits were measured that way.
        """
        results = super().predict(inputs, data_samples)
        if (self.test_cfg or {}).get('unknown'):
            output = self.forward_student(inputs, auxiliary=False)
            size = inputs.shape[-2:]
            mark_unknown(results, self.find_unknown(output), size)
        return results

    def find_unknown(self, output: SegOutput) -> Tensor:
        """Find pixels (N, h, w) of no known class.

        Raises:
            UserError: The pseudo label head or the checkpoint has no limits.
        """
        unknown = self.pseudo_label_head.unknown
        if unknown is None:
            raise UserError(
                'model.test_cfg.unknown: expected '
                'model.pseudo_label_head.unknown_quantile, which defines '
                'unknown pixels'
            )
        unknown.require_limits('model.test_cfg.unknown')
        require_features(self, output)
        distances = self.anchor_bank.distances(output.feat)
        return unknown(distances)

    @torch.no_grad()
    def start_stage(self) -> None:
        """Update the teacher from the student and count the stage."""
        self.teacher.update_parameters(self)
        self.stage += 1

    @torch.no_grad()
    def collect_centroids(
        self,
        centroids: RunningClassMeans,
        sample: PixelSampler | None,
        images: Tensor,
        data_samples: list[SegDataSample],
    ) -> None:
        """Add a labelled source batch to the running class means.

        Args:
            centroids: The running means, changed in place.
            sample: Pixels for calibrating the margin, changed in place; None
                for a fixed margin.
            images: Source images (N, 3, H, W) float32.
            data_samples: Their samples, with labels.
        """
        with self.statistics_of('source', data_samples):
            output = self.teacher(images)
        feat, logits = output.feat, self.main_logits(output)
        labels = resize_labels(gt_labels(data_samples), feat)
        domains = [sample.get('domain') for sample in data_samples]
        self.anchor_bank.accumulate(centroids, feat, logits, labels, domains)
        if sample is not None:
            sample.add(feat, labels)

    def store_anchors(
        self, centroids: RunningClassMeans, sample: PixelSampler | None
    ) -> None:
        """Store all ranks' running means as anchors; set the margin."""
        centroids.reduce()
        self.anchor_bank.store(centroids)
        if sample is not None:
            feat, labels = sample.gather()
            distances = self.anchor_bank.distances(feat[:, :, None, None])
            self.pseudo_label_head.calibrate(distances[:, :, 0, 0], labels)


def mark_unknown(
    results: list[SegDataSample], unknown: Tensor, size: tuple[int, int]
) -> None:
    """Add maps of unknown pixels to predictions, as large as these.

    As mmseg does with the scores, takes padding off and flips back.

    Args:
        results: Predictions of N images.
        unknown: Maps (N, h, w) bool.
        size: Height and width of the network's input.
    """
    maps = F.interpolate(unknown[:, None].float(), size)
    for result, own in zip(results, maps, strict=True):
        padded = result.get('padding_size', [0] * 4)
        left, right, top, bottom = result.get('img_padding_size', padded)
        own = own[None, :, top : size[0] - bottom, left : size[1] - right]
        if result.get('flip'):
            is_sideways = result.flip_direction == 'horizontal'
            own = own.flip(3 if is_sideways else 2)
        own = F.interpolate(own, result.pred_sem_seg.shape) > 0
        result.pred_unknown = PixelData(data=own[0])


def feature_sizes(segmentor: UDASegmentor) -> dict[str, int]:
    """Return the anchors' sizes: ``num_classes`` and ``channels``.

    Raises:
        UserError: The decode head has no classifier ``conv_seg``.
    """
    head = segmentor.decode_head
    classifier = getattr(head, 'conv_seg', None)
    if classifier is None:
        raise UserError(
            f'{type(segmentor).__name__}: decode_head {type(head).__name__} '
            'has no conv_seg, whose input features the anchors need; expected '
            'a head that classifies by it'
        )
    return dict(
        num_classes=segmentor.num_classes, channels=classifier.in_channels
    )


def require_features(segmentor: UDASegmentor, output: SegOutput) -> None:
    """Check that the features for the anchors were captured.

    Raises:
        UserError: The head's features are ambiguous.
    """
    if output.feat is None:
        head = type(segmentor.decode_head).__name__
        raise UserError(
            f'{type(segmentor).__name__}: decode_head {head} uses conv_seg '
            'more than once, expected a head that classifies by it once'
        )
