# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Generator, Tensor

from mmseg_cag.errors import require_one_of
from mmseg_cag.models.colour_views import VIEWS, view_images
from mmseg_cag.models.masking import draw_hidden, masked, require_mask
from mmseg_cag.models.mixing import Labelled, class_mask, draw_classes, paste

from .daformer import DAFormerSegmentor

# legend: N images, H W image


@MODELS.register_module()
class VFMUDASegmentor(DAFormerSegmentor):
    """VFM-UDA (CVPRW 2024): a foundation encoder in a mean teacher.

    The student learns from the source, from mixed images, and from target
    images with most patches hidden from the encoder.

    .. code:: text

       move_teacher()               average of the students so far
       source_losses()              CE on a view of the source
       label_target()               teacher -> labels, share of confident ones
       target_losses()
         mixed_losses()             weighted CE on a view of mixed images
         masked_losses()            weighted CE where patches are hidden

    Args:
        source_view: View of the source's own loss, one of `VIEWS`.
        mask_ratio: Expected share of hidden patches.
        **kwargs: Arguments of `DAFormerSegmentor`, whose ``feature_distance``
            is an ablation in VFM-UDA.

    Source: VFM-UDA, Englert et al., CVPRW 2024, as released.
    """

    def __init__(
        self,
        source_view: str = 'weak',
        mask_ratio: float = 0.7,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_one_of('model.source_view', source_view, tuple(VIEWS))
        require_mask(self.backbone, mask_ratio)
        self.source_view, self.mask_ratio = source_view, mask_ratio

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: dict[str, list[SegDataSample]],
    ) -> dict[str, Tensor]:
        """Compute all losses of a step."""
        generator = self.step_generator()
        self.move_teacher(self.teacher)
        source = self.labelled(inputs['source'], data_samples['source'])
        losses = self.source_losses(
            self.view(source, self.source_view, generator)
        )
        target = self.label_target(inputs['target'], data_samples['target'])
        return losses | self.target_losses(source, target, generator)

    def target_losses(
        self, source: Labelled, target: Labelled, generator: Generator
    ) -> dict[str, Tensor]:
        """Compute weighted CE on mixed and on masked images."""
        weak = self.view(target, 'weak', generator)
        losses = self.mixed_losses(source, weak, generator)
        return losses | self.masked_losses(target, generator)

    def view(
        self, labelled: Labelled, kind: str, generator: Generator
    ) -> Labelled:
        """Augment the colours of each image independently."""
        normaliser = self.data_preprocessor.of('target')
        images = view_images(labelled.images, kind, generator, normaliser)
        return labelled._replace(images=images)

    def mixed_losses(
        self, source: Labelled, target: Labelled, generator: Generator
    ) -> dict[str, Tensor]:
        """Compute weighted CE on a view of mixed images."""
        preference = draw_classes(len(source.labels), generator)
        mask = class_mask(source.labels, preference)
        mixed = paste(source, target, mask)
        seen = self.all_pixels(self.view(mixed, 'mixed', generator))
        output = self.forward_student(seen.images)
        losses = self.labelled_loss(output, seen, 'mix')
        losses['mix.confident'] = target.weight.max()
        return losses

    def masked_losses(
        self, target: Labelled, generator: Generator
    ) -> dict[str, Tensor]:
        """Compute weighted CE on target images with hidden patches."""
        seen = self.all_pixels(self.view(target, 'mixed', generator))
        drawn = draw_hidden(self.backbone, seen.images, generator)
        with masked(self.backbone, drawn < self.mask_ratio):
            output = self.forward_student(seen.images)
        return self.labelled_loss(output, seen, 'masked')

    def all_pixels(self, labelled: Labelled) -> Labelled:
        """Count void pixels, with weight 0, in the mean over pixels."""
        void = labelled.labels == self.decode_head.ignore_index
        return labelled._replace(
            labels=labelled.labels.masked_fill(void, 0),
            weight=labelled.weight.masked_fill(void, 0),
        )
