# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from .base import UDASegmentor

# legend: N images, H W image


@MODELS.register_module()
class DistillSegmentor(UDASegmentor):
    """Distillation of a large network into a small one on target images.

    The teacher is a finished run of any method and architecture. If the batch
    has a source, the student learns from its labels, too.

    .. code:: text

       learn_from_source()   CE on the source, if there is one
       distillation()        the teacher's labels, probabilities or features

    The latter is part of the base class: any method accepts ``distillation``.

    Args:
        distillation: Config of a `Distillation`.
        **kwargs: Arguments of `UDASegmentor`.
    """

    domains = ('target',)

    def __init__(self, distillation: dict, **kwargs: Any) -> None:
        super().__init__(distillation=distillation, **kwargs)

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: dict[str, list[SegDataSample]],
    ) -> dict[str, Tensor]:
        """Compute CE on the source, if any; the base adds distillation."""
        self.observe(images=inputs['target'])
        if 'source' not in inputs:
            return {}
        source = self.labelled(inputs['source'], data_samples['source'])
        _, losses = self.learn_from_source(source)
        return losses
