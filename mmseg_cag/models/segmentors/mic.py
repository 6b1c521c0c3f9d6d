# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from mmseg.registry import MODELS
from torch import Generator, Tensor

from mmseg_cag.models.mixing import Labelled

from .base import kept_statistics
from .daformer import DAFormerSegmentor

# legend: N images, H W image


@MODELS.register_module()
class MICSegmentor(DAFormerSegmentor):
    """Masked image consistency (MIC, CVPR 2023) on DACS, DAFormer or HRDA.

    In addition to the host's losses, the student predicts all pixels of target
    images with most patches hidden, supervised by the teacher's labels of the
    full image. It has to use context for that.

    .. code:: text

       target_losses()
         the host's           weighted CE on mixed images
         masked_losses()      weighted CE on all pixels, hidden or not
           masking.hide()     jitter, blur, patches hidden

    Without a ``feature_distance`` the host is DACS.

    Args:
        masking: Config of a `Masking`; None leaves the host as it is.
        **kwargs: Those of the host.

    Source: MIC Sec. 3, as released; labels and weights are the host's
    (``mask_alpha='same'``, ``mask_pseudo_threshold='same'``).
    """

    def __init__(
        self,
        masking: dict | None = None,
        masked_statistics: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.masked_statistics = masked_statistics
        self.masking = None
        if masking is not None:
            settings = {'type': 'Masking', 'strength': self.strength}
            self.masking = MODELS.build(settings | masking)

    def target_losses(
        self, source: Labelled, target: Labelled, generator: Generator
    ) -> dict[str, Tensor]:
        """Compute the host's losses and those on masked images."""
        losses = super().target_losses(source, target, generator)
        if self.masking is None:
            return losses
        return losses | self.masked_losses(source, target, generator)

    def masked_losses(
        self, source: Labelled, target: Labelled, generator: Generator
    ) -> dict[str, Tensor]:
        """Compute weighted CE on masked images."""
        masked = self.masking.hide(
            source, target, generator, self.data_preprocessor.of('target')
        )
        with (
            nullcontext() if self.masked_statistics else kept_statistics(self)
        ):
            output = self.forward_student(masked.images)
        losses = self.labelled_loss(output, masked, 'masked')
        return self.masking.weigh(losses, 'masked')
