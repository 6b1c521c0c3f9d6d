# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from .base import UDASegmentor


@MODELS.register_module()
class SupervisedSegmentor(UDASegmentor):
    """Supervised training on the sources of a pool, or on target images.

    On a single dataset it equals mmseg's `EncoderDecoder`. Classes that a
    domain of a `DomainPool` does not label are excluded on its images.

    Args:
        **kwargs: Arguments of `UDASegmentor`.
    """

    domains = ('source',)

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: dict[str, list[SegDataSample]],
    ) -> dict[str, Tensor]:
        """Compute CE on labelled images."""
        source = self.labelled(inputs['source'], data_samples['source'])
        _, losses = self.learn_from_source(source)
        return losses
