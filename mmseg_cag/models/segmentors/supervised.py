# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from .base import UDASegmentor, gt_labels


@MODELS.register_module()
class SupervisedSegmentor(UDASegmentor):
    """Labels alone: the sources of a pool, or a few images of the target.

    On a single data set it is what mmseg's `EncoderDecoder` learns; classes
    that a domain of a `DomainPool` does not label are left out there.

    Args:
        **kwargs: Those of `UDASegmentor`.
    """

    domains = ('source',)

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: dict[str, list[SegDataSample]],
    ) -> dict[str, Tensor]:
        """Compute CE on what is labelled."""
        samples = data_samples['source']
        labels = gt_labels(samples)
        absent = self.absent_classes(samples, labels)
        output = self.forward_student(inputs['source'])
        return self.supervised_loss(output, labels, 'source', absent=absent)
