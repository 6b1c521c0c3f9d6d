# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Base of ProDA: labelling networks and target prototypes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_cag.errors import require_share
from mmseg_cag.models.anchors.class_means import RunningClassMeans
from mmseg_cag.models.data_preprocessor import hide_padding, padding_of
from mmseg_cag.models.losses.denoising_loss import prototype_distances
from mmseg_cag.models.losses.head_loss import resize_as

from .base import SegOutput, UDASegmentor
from .cag import feature_sizes, require_features

# legend: N images, K classes, C feature channels, H W image, h w label map


class Maps(NamedTuple):
    """Features (N, C, h, w), class scores (N, K, h, w), padding (N, H, W)."""

    feat: Tensor
    logits: Tensor
    padding: Tensor | None = None

    def hide_padding(self, maps: Tensor, value: int) -> Tensor:
        """Set maps (N, h, w) of these images to a value in padding."""
        return hide_padding(maps, self.padding, value)


class PrototypeSegmentor(UDASegmentor):
    """A student, a fixed teacher, a momentum network, and prototypes.

    Prototypes are class means of the momentum network's target features. At
    the start of a stage the loop calls `start_stage`; then `PrototypeHook`
    calls `collect_means` for each target batch.

    Args:
        prototypes: Config of an `AnchorBank` with the released rule.
        prototype_momentum: Weight of an image in a prototype.
        label_stride: Stride of the labels, in image pixels.
        momentum_teacher: Config of the momentum network.
        **kwargs: Arguments of `UDASegmentor`.

    Raises:
        UserError: A momentum is out of range.

    Source: ProDA Sec. 3, as released.
    """

    own_state = ('prototypes', 'momentum_teacher', 'stage')
    normalised_alike = ('target',)

    def __init__(
        self,
        prototypes: dict | None = None,
        prototype_momentum: float = 1e-4,
        label_stride: int = 4,
        momentum_teacher: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_share('model.prototype_momentum', prototype_momentum)
        bank = dict(type='AnchorBank', level='image')
        self.prototypes = MODELS.build(
            {**bank, **(prototypes or {}), **feature_sizes(self)}
        )
        self.prototype_momentum = prototype_momentum
        self.label_stride = label_stride
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

    def at_labels(
        self, output: SegOutput, images: Tensor, samples: list | None = None
    ) -> Maps:
        """Resize a network's output to the size of the labels."""
        require_features(self, output)
        height, width = images.shape[-2:]
        size = height // self.label_stride, width // self.label_stride
        maps = (output.feat, self.main_logits(output))
        return Maps(
            *(resize_as(self.decode_head, one, size) for one in maps),
            padding=padding_of(samples, images),
        )

    def at_centres(self, mask: Tensor) -> Tensor:
        """Take the pixel in the middle of each label of masks (N, H, W)."""
        step = self.label_stride
        # The last rows and columns may be too few for a label.
        rows, columns = (
            slice(step // 2, side // step * step, step)
            for side in mask.shape[-2:]
        )
        return mask[:, rows, columns]

    def distances(self, feat: Tensor) -> Tensor:
        """Compute distances (N, K, h, w) to the prototypes."""
        bank = self.prototypes
        return prototype_distances(feat, bank.anchors, bank.counts > 0)

    @torch.no_grad()
    def move_prototypes(self, momentum: Maps) -> None:
        """Move the prototypes by the class means of a batch."""
        labels = momentum.hide_padding(momentum.logits.argmax(1), -1)
        self.prototypes.average(momentum.feat, labels, self.prototype_momentum)

    @torch.no_grad()
    def start_stage(self) -> None:
        """Copy the student to both labelling networks; count the stage."""
        self.teacher.update_parameters(self)
        self.momentum_teacher.restart()
        self.stage += 1

    @torch.no_grad()
    def collect_means(self, means: RunningClassMeans, images: Tensor) -> None:
        """Add target images to the prototypes by predicted class.

        Args:
            means: The running means, changed in place.
            images: Target images (N, 3, H, W) float32.
        """
        output = self.teacher(images)
        require_features(self, output)
        logits = self.main_logits(output)
        labels = logits.argmax(1)
        self.prototypes.accumulate(means, output.feat, logits, labels)
