# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Generator, Tensor

from mmseg_cag.models.losses.head_loss import resize_as
from mmseg_cag.models.mixing import Labelled, class_mask, draw_classes, paste
from mmseg_cag.models.online_labels import OnlineLabels, require_trusted_rows
from mmseg_cag.models.strong_augmentation import (
    draw_flags,
    draw_strong,
    strong_transform,
)

from .base import UDASegmentor

# legend: N images, H W image


@MODELS.register_module()
class DACSSegmentor(UDASegmentor):
    """Domain adaptation via cross-domain mixed sampling (DACS, WACV 2021).

    A mean teacher labels target images; pixels of half of the source's classes
    are pasted onto them with their labels, and the student learns from the
    source and the mixed images. It never sees an unmixed target image.

    .. code:: text

       move_teacher()               average of the students so far
       source_losses()              CE on the source
       label_target()               teacher -> labels, share of confident ones
       target_losses()              weighted CE on mixed images:
         mix()                      ClassMix, jitter and blur

    Subclasses override these steps. Both domains have one normalisation.

    Args:
        threshold: Probability from which a pixel is confident.
        untrusted_top: Rows at the top of a target image with weight 0.
        untrusted_bottom: Rows at the bottom, such as the car's bonnet.
        strength: Strength of the colour jitter; 0.25 in DACS's own code.
        teacher: Config of the `Teacher`.
        **kwargs: Arguments of `UDASegmentor`.

    Source: DAFormer's implementation of DACS (its ``dacs`` baseline).
    """

    normalised_alike = ('source', 'target')
    require_crop = staticmethod(require_trusted_rows)

    def __init__(
        self,
        threshold: float = 0.968,
        untrusted_top: int = 0,
        untrusted_bottom: int = 0,
        strength: float = 0.2,
        teacher: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold
        self.online_labels = OnlineLabels(
            threshold, untrusted_top, untrusted_bottom
        )
        self.strength = strength
        default = dict(mode='batch_norm', buffers='keep', momentum=0.01)
        self.teacher = MODELS.build(
            {'type': 'Teacher', **default, **(teacher or {}), 'student': self}
        )
        self.train()

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: dict[str, list[SegDataSample]],
    ) -> dict[str, Tensor]:
        """Compute all losses of a step."""
        generator = self.step_generator()
        self.move_teacher(self.teacher)
        source = self.labelled(inputs['source'], data_samples['source'])
        losses = self.source_losses(source)
        target = self.label_target(inputs['target'], data_samples['target'])
        losses |= self.target_losses(source, target, generator)
        return losses

    def source_losses(self, source: Labelled) -> dict[str, Tensor]:
        """Compute CE on the source."""
        _, losses = self.learn_from_source(source)
        return losses

    def label_target(
        self, images: Tensor, data_samples: list[SegDataSample]
    ) -> Labelled:
        """Label target images (N, 3, H, W) and weight the labels."""
        logits = self.main_logits(self.teacher(images))
        if self.observers:
            confidence, label = logits.softmax(1).max(1)
            sure = confidence >= self.threshold
            label = label.where(sure, self.decode_head.ignore_index)
            self.observe(images=images)
            self.observe(teacher=logits, probability=label)
        labels, weight = self.online_labels(
            self.at_images(logits, images), data_samples
        )
        return Labelled(images, labels, weight)

    def at_images(self, logits: Tensor, images: Tensor) -> Tensor:
        """Resize class scores to the size of the images."""
        return resize_as(self.decode_head, logits, images.shape[-2:])

    def target_losses(
        self, source: Labelled, target: Labelled, generator: Generator
    ) -> dict[str, Tensor]:
        """Compute weighted CE on mixed images."""
        mixed = self.mix(source, target, generator)
        output = self.forward_student(mixed.images)
        losses = self.labelled_loss(output, mixed, 'mix')
        losses['mix.confident'] = target.weight.max()
        return losses

    @torch.no_grad()
    def mix(
        self, source: Labelled, target: Labelled, generator: Generator
    ) -> Labelled:
        """Paste half of the source's classes, then augment colours."""
        preference = draw_classes(len(source.labels), generator)
        mixed = paste(source, target, class_mask(source.labels, preference))
        flags = draw_flags(generator)
        changed = [
            self.augment(image, flags, generator)
            for image in mixed.images.split(1)
        ]
        return mixed._replace(images=torch.cat(changed))

    def augment(
        self, images: Tensor, flags: tuple[bool, bool], generator: Generator
    ) -> Tensor:
        """Augment the colours of images (N, 3, H, W) with one set of draws."""
        draws = draw_strong(flags, generator, len(images), self.strength)
        normaliser = self.data_preprocessor.of('target')
        return strong_transform(images, draws, normaliser.mean, normaliser.std)
