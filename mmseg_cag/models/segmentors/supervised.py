# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from .base import UDASegmentor


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
        source = self.labelled(inputs['source'], data_samples['source'])
        output = self.forward_student(source.images)
        return self.labelled_loss(output, source, 'source')
