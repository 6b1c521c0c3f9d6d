# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Generator, Tensor

from mmseg_cag.models.mixing import (
    Mixed,
    class_mask,
    draw_classes,
    draw_flags,
    draw_strong,
    online_pseudo_labels,
    strong_transform,
)

from .base import UDASegmentor, gt_labels

# legend: N images, H W image


@MODELS.register_module()
class DACSSegmentor(UDASegmentor):
    """Domain adaptation via cross-domain mixed sampling (DACS, WACV 2021).

    A mean teacher labels target images; pixels of half of the source's
    classes are pasted over them, with their labels, and the student learns
    from the source and from the mixed images. It never sees a target image as
    it is.

    .. code:: text

       teacher.update_parameters()  average of the students so far
       supervised_loss()            CE on the source
       label_target()               teacher -> labels, share of confident ones
       mix()                        ClassMix, jitter and blur
       supervised_loss()            weighted CE on the mixed images

    Source and target images need one size, and each its own pair.

    Args:
        threshold: Probability from which a pixel is confident.
        untrusted_top: Rows at the top of a target image that do not count.
        untrusted_bottom: Rows at the bottom, likewise: the bonnet of a car.
        strength: Of the colour jitter; 0.25 in DACS's own code.
        teacher: Config of what labels.
        **kwargs: Those of `UDASegmentor`.

    Source: DAFormer's code of DACS (its ``dacs`` baseline).
    """

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
        self.untrusted = dict(top=untrusted_top, bottom=untrusted_bottom)
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
        """Compute CE on the source and on mixed images."""
        generator = self.step_generator()
        self.teacher.update_parameters(self)
        labels = gt_labels(data_samples['source'])
        source = self.forward_student(inputs['source'])
        losses = self.supervised_loss(source, labels, 'source')
        pseudo_labels, weight = self.label_target(inputs['target'])
        target = Mixed(inputs['target'], pseudo_labels, weight)
        mixed = self.mix(inputs['source'], labels, target, generator)
        output = self.forward_student(mixed.images)
        losses |= self.supervised_loss(
            output, mixed.labels, 'mix', mixed.weight
        )
        losses['mix.confident'] = weight.max()
        return losses

    def label_target(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Label target images (N, 3, H, W), and weigh the labels."""
        logits = self.main_logits(self.teacher(images))
        if self.observers:
            confidence, label = logits.softmax(1).max(1)
            sure = confidence >= self.threshold
            label = label.where(sure, self.decode_head.ignore_index)
            self.observe(images=images)
            self.observe(teacher=logits, probability=label)
        logits = resize(
            logits,
            images.shape[-2:],
            mode='bilinear',
            align_corners=self.decode_head.align_corners,
        )
        return online_pseudo_labels(logits, self.threshold, **self.untrusted)

    @torch.no_grad()
    def mix(
        self,
        images: Tensor,
        labels: Tensor,
        target: Mixed,
        generator: Generator,
    ) -> Mixed:
        """Paste half of the source's classes, then change all colours."""
        preference = draw_classes(len(labels), generator)
        mask = class_mask(labels, preference)
        mixed = torch.where(mask[:, None], images, target.images)
        flags = draw_flags(generator)
        normaliser = self.data_preprocessor.of('target')
        changed = [
            strong_transform(
                image,
                draw_strong(flags, generator, strength=self.strength),
                normaliser.mean,
                normaliser.std,
            )
            for image in mixed.split(1)
        ]
        return Mixed(
            torch.cat(changed),
            torch.where(mask, labels, target.labels),
            target.weight.masked_fill(mask, 1),
        )
