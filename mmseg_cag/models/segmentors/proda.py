# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Generator, Tensor

from mmseg_cag.errors import require_share
from mmseg_cag.models.losses.denoising_loss import (
    prototype_consistency,
    rectify,
    reverse_cross_entropy,
    uniform_divergence,
)
from mmseg_cag.models.losses.head_loss import pixel_loss, resize_as
from mmseg_cag.models.strong_augmentation import strong_cut_view

from .prototypes import Maps, PrototypeSegmentor

# legend: N images, K classes, C feature channels, H W image, h w label map


@MODELS.register_module()
class ProDASegmentor(PrototypeSegmentor):
    """Prototypical pseudo label denoising (ProDA, CVPR 2021), its stage 1.

    The initial network gives soft labels; prototypes, class means of a
    momentum network's target features, rectify them at every step.

    .. code:: text

       move_teacher()
       learn_from_source()   CE on the source
       label_target()        teacher, momentum_teacher, prototypes -> labels
       pseudo_label_losses() symmetric CE on the target, KLD
       consistency_loss()    nearness to the prototypes in a strong view
       move_prototypes()     by the momentum network's class means

    Args:
        temperature: Temperature of the prototype weights.
        threshold: Minimum probability of a rectified label; 0 ignores none.
        weights: Weights of the losses ``ce``, ``rce``, ``kld``,
            ``consistency``; by default as released for GTA5.
        strength: Strength of the strong view's colour jitter.
        pseudo_label_loss: Config of the cross entropy on pseudo labels.
        **kwargs: Arguments of `PrototypeSegmentor`.

    Source: ProDA Sec. 3, as released; docs/proda.md lists the differences.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        threshold: float = 0.0,
        weights: dict[str, float] | None = None,
        strength: float = 0.2,
        pseudo_label_loss: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_share('model.threshold', threshold)
        self.temperature, self.threshold = temperature, threshold
        released = dict(ce=0.1, rce=1.0, kld=0.1, consistency=10.0)
        self.weights = {**released, **(weights or {})}
        self.strength = strength
        loss = dict(type='CrossEntropyLoss', avg_non_ignore=True)
        self.pseudo_label_loss = MODELS.build(pseudo_label_loss or loss)

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: dict[str, list[SegDataSample]],
    ) -> dict[str, Tensor]:
        """Compute the losses of a step, then move the prototypes."""
        generator = self.step_generator()
        self.move_teacher(self.momentum_teacher)
        source = self.labelled(inputs['source'], data_samples['source'])
        _, losses = self.learn_from_source(source)
        images = inputs['target']
        output = self.forward_student(images, auxiliary=False)
        weak = self.at_labels(output, images)
        output = self.momentum_teacher(images)
        momentum = self.at_labels(output, images, data_samples['target'])
        labels = self.label_target(images, weak, momentum)
        losses |= self.pseudo_label_losses(weak.logits, labels)
        losses |= self.consistency_loss(images, momentum, generator)
        self.move_prototypes(momentum)
        return losses

    @torch.no_grad()
    def label_target(
        self, images: Tensor, weak: Maps, momentum: Maps
    ) -> Tensor:
        """Rectify soft labels of target images into labels (N, h, w)."""
        output = self.teacher(images)
        probability = self.main_logits(output).float().softmax(1)
        size = weak.logits.shape[-2:]
        probability = resize_as(self.decode_head, probability, size)
        confidence, labels = rectify(
            probability, self.distances(momentum.feat), self.temperature
        ).max(1)
        sure = momentum.hide_padding(confidence, -1) >= self.threshold
        labels = labels.where(sure, self.decode_head.ignore_index)
        self.observe(images=images, student=weak.logits.detach())
        self.observe(teacher=probability, probability=labels)
        return labels

    def pseudo_label_losses(
        self, logits: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Compute symmetric cross entropy and KLD regularisation."""
        ignored = self.decode_head.ignore_index
        losses = dict(
            ce=pixel_loss(self.pseudo_label_loss, logits, labels, ignored),
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
        """Compare a strong view with the momentum network's prototypes."""
        normaliser = self.data_preprocessor.of('target')
        view, seen = strong_cut_view(
            images, generator, normaliser.mean, normaliser.std, self.strength
        )
        output = self.forward_student(view, auxiliary=False)
        strong = self.at_labels(output, images)
        loss = prototype_consistency(
            self.distances(strong.feat),
            self.distances(momentum.feat).detach(),
            momentum.hide_padding(self.at_centres(seen), False),
        )
        return {'target.loss_consistency': self.weights['consistency'] * loss}
