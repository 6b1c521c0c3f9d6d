# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any, NamedTuple

import torch
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Generator, Tensor

from mmseg_cag.models.anchors.class_means import RunningClassMeans
from mmseg_cag.models.losses.denoising_loss import (
    prototype_consistency,
    prototype_distances,
    rectify,
    reverse_cross_entropy,
    uniform_divergence,
)
from mmseg_cag.models.losses.head_loss import pixel_loss
from mmseg_cag.models.strong_augmentation import (
    cut_out,
    draw_cutout,
    draw_flags,
    draw_strong,
    strong_transform,
)

from .base import SegOutput, UDASegmentor, gt_labels
from .cag import feature_sizes, require_features

# legend: N images, K classes, C feature channels, H W image, h w label map


class Maps(NamedTuple):
    """Features (N, C, h, w) and class scores (N, K, h, w) of target images."""

    feat: Tensor
    logits: Tensor


@MODELS.register_module()
class ProDASegmentor(UDASegmentor):
    """Prototypical pseudo label denoising (ProDA, CVPR 2021), its stage 1.

    The network of the start gives soft labels; prototypes, class means of a
    momentum network's target features, correct them at every step.

    .. code:: text

       move_teacher()
       supervised_loss()     CE on the source
       label_target()        teacher, momentum_teacher, prototypes -> labels
       pseudo_label_losses() symmetric CE on the target, KLD
       consistency_loss()    nearness to the prototypes in a strong view
       move_prototypes()     by the momentum network's class means

    As a stage begins the loop calls `start_stage`, then `PrototypeHook`
    `collect_means` for each batch of the target.

    Args:
        prototypes: Config of an `AnchorBank`, of the released rule.
        temperature: Of the nearness that labels are corrected by.
        threshold: Probability that a corrected label needs; 0 ignores none.
        label_stride: Pixels of an image from label to label.
        weights: Of the losses ``ce``, ``rce``, ``kld``, ``consistency``;
            those that are not given are as released for GTA5.
        prototype_momentum: Share of an image in a prototype.
        strength: Of the strong view's colour jitter.
        pseudo_label_loss: Config of the cross entropy on pseudo labels.
        momentum_teacher: Config of the momentum network.
        **kwargs: Those of `UDASegmentor`.

    Source: ProDA Sec. 3, as released; docs/proda.md has what differs.
    """

    own_state = ('prototypes', 'momentum_teacher', 'stage')

    def __init__(
        self,
        prototypes: dict | None = None,
        temperature: float = 1.0,
        threshold: float = 0.0,
        label_stride: int = 4,
        weights: dict[str, float] | None = None,
        prototype_momentum: float = 1e-4,
        strength: float = 0.2,
        pseudo_label_loss: dict | None = None,
        momentum_teacher: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.temperature = temperature
        self.threshold = threshold
        self.label_stride = label_stride
        released = dict(ce=0.1, rce=1.0, kld=0.1, consistency=10.0)
        self.weights = {**released, **(weights or {})}
        self.prototype_momentum = prototype_momentum
        self.strength = strength
        loss = dict(type='CrossEntropyLoss', avg_non_ignore=True)
        self.pseudo_label_loss = MODELS.build(pseudo_label_loss or loss)
        bank = dict(type='AnchorBank', level='image')
        self.prototypes = MODELS.build(
            {**bank, **(prototypes or {}), **feature_sizes(self)}
        )
        self.teacher = MODELS.build(dict(type='Teacher', student=self))
        momentum = dict(momentum=0.001, mode='train', ramp=False)
        self.momentum_teacher = MODELS.build(
            {
                'type': 'Teacher',
                **momentum,
                **(momentum_teacher or {}),
                'student': self,
            }
        )
        self.register_buffer('stage', torch.tensor(0))
        self.train()

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: dict[str, list[SegDataSample]],
    ) -> dict[str, Tensor]:
        """Compute the losses of a step, then move the prototypes."""
        generator = self.step_generator()
        self.move_teacher(self.momentum_teacher)
        source = self.forward_student(inputs['source'])
        truth = gt_labels(data_samples['source'])
        absent = self.absent_classes(data_samples['source'], truth)
        losses = self.supervised_loss(source, truth, 'source', absent=absent)
        images = inputs['target']
        output = self.forward_student(images, auxiliary=False)
        weak = self.at_labels(output, images)
        momentum = self.at_labels(self.momentum_teacher(images), images)
        labels = self.label_target(images, weak, momentum)
        losses |= self.pseudo_label_losses(weak.logits, labels)
        losses |= self.consistency_loss(images, momentum, generator)
        self.move_prototypes(momentum)
        return losses

    def at_labels(self, output: SegOutput, images: Tensor) -> Maps:
        """Resize what a network computes to the size of the labels."""
        require_features(self, output)
        height, width = images.shape[-2:]
        size = height // self.label_stride, width // self.label_stride
        corners = self.decode_head.align_corners
        maps = (output.feat, self.main_logits(output))
        return Maps(
            *(
                resize(m, size, mode='bilinear', align_corners=corners)
                for m in maps
            )
        )

    def distances(self, feat: Tensor) -> Tensor:
        """Compute distances (N, K, h, w) to the prototypes."""
        bank = self.prototypes
        return prototype_distances(feat, bank.anchors, bank.counts > 0)

    @torch.no_grad()
    def label_target(
        self, images: Tensor, weak: Maps, momentum: Maps
    ) -> Tensor:
        """Correct the soft labels of target images to labels (N, h, w)."""
        output = self.teacher(images)
        probability = self.main_logits(output).float().softmax(1)
        probability = resize(
            probability,
            weak.logits.shape[-2:],
            mode='bilinear',
            align_corners=self.decode_head.align_corners,
        )
        confidence, labels = rectify(
            probability, self.distances(momentum.feat), self.temperature
        ).max(1)
        ignored = self.decode_head.ignore_index
        labels = labels.where(confidence >= self.threshold, ignored)
        self.observe(images=images, student=weak.logits.detach())
        self.observe(teacher=probability, probability=labels)
        return labels

    def pseudo_label_losses(
        self, logits: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Compute symmetric cross entropy and the regularisation."""
        ignored = self.decode_head.ignore_index
        ce = pixel_loss(self.pseudo_label_loss, logits, labels, ignored)
        losses = dict(
            ce=ce,
            rce=reverse_cross_entropy(logits, labels, ignored),
            kld=uniform_divergence(logits),
        )
        return {
            f'target.loss_{name}': self.weights[name] * loss
            for name, loss in losses.items()
        }

    def consistency_loss(
        self, images: Tensor, momentum: Maps, generator: Generator
    ) -> dict[str, Tensor]:
        """Compare the student in a strong view with the momentum network."""
        view, seen = self.strong_view(images, generator)
        output = self.forward_student(view, auxiliary=False)
        strong = self.at_labels(output, images)
        step = self.label_stride
        loss = prototype_consistency(
            self.distances(strong.feat),
            self.distances(momentum.feat).detach(),
            seen[:, step // 2 :: step, step // 2 :: step],
        )
        name = 'target.loss_consistency'
        return {name: self.weights['consistency'] * loss}

    @torch.no_grad()
    def strong_view(
        self, images: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Change colours, blur and cut out; tell what is still seen."""
        normaliser = self.data_preprocessor.of('target')
        mean, std = normaliser.mean, normaliser.std
        draws = draw_strong(
            draw_flags(generator), generator, len(images), self.strength
        )
        images = strong_transform(images, draws, mean, std)
        places = draw_cutout(len(images), generator)
        return cut_out(images, places, (127 - mean) / std)

    @torch.no_grad()
    def move_prototypes(self, momentum: Maps) -> None:
        """Move the prototypes by the class means of a batch."""
        labels = momentum.logits.argmax(1)
        self.prototypes.average(momentum.feat, labels, self.prototype_momentum)

    @torch.no_grad()
    def start_stage(self) -> None:
        """Make the student both networks that label, and count the stage."""
        self.teacher.update_parameters(self)
        self.momentum_teacher.restart()
        self.stage += 1

    @torch.no_grad()
    def collect_means(self, means: RunningClassMeans, images: Tensor) -> None:
        """Add target images to the prototypes, by what is predicted.

        Args:
            means: The running means, changed in place.
            images: Target images (N, 3, H, W) float32.
        """
        output = self.teacher(images)
        require_features(self, output)
        logits = self.main_logits(output)
        labels = logits.argmax(1)
        self.prototypes.accumulate(means, output.feat, logits, labels)
