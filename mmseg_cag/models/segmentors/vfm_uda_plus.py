# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

from mmseg.registry import MODELS
from torch import Generator, Tensor

from mmseg_cag.models.mixing import Labelled

from .daformer import FixedNetwork
from .vfm_uda import VFMUDASegmentor

# legend: N images, H W image


@MODELS.register_module()
class VFMUDAPlusSegmentor(VFMUDASegmentor):
    """VFM-UDA++ (2025): VFM-UDA with alignment to a frozen encoder.

    The encoder is stored in checkpoints but belongs to no optimizer or
    teacher. The other parts of VFM-UDA++ are set in its config: the adapter,
    the pyramid head, the strong view of the source, lower learning rates of
    blocks.

    .. code:: text

       target_losses()
         VFM-UDA's
         alignment_losses()         weak views of both domains

    Args:
        encoder: Config of the frozen encoder.
        alignment: Config of a `FeatureAlignment`.
        source_view: See `VFMUDASegmentor`.
        **kwargs: Arguments of `VFMUDASegmentor`.

    Source: VFM-UDA++, Englert et al., 2025, as released.
    """

    own_state = (*VFMUDASegmentor.own_state, 'alignment')
    named_parts = (*VFMUDASegmentor.named_parts, 'frozen')

    def __init__(
        self,
        encoder: dict,
        alignment: dict | None = None,
        source_view: str = 'strong',
        **kwargs: Any,
    ) -> None:
        super().__init__(source_view=source_view, **kwargs)
        other = MODELS.build(encoder)
        widths = dict(
            in_channels=self.backbone.arch.dim, out_channels=other.arch.dim
        )
        self.frozen = FixedNetwork(other)
        self.alignment = MODELS.build(
            {'type': 'FeatureAlignment', **widths, **(alignment or {})}
        )

    def init_weights(self) -> None:
        """Initialise the student and load the frozen encoder."""
        super().init_weights()
        self.frozen.network.init_weights()

    def target_losses(
        self, source: Labelled, target: Labelled, generator: Generator
    ) -> dict[str, Tensor]:
        """Compute VFM-UDA's losses and the alignment on weak views."""
        weak = self.view(target, 'weak', generator)
        losses = self.mixed_losses(source, weak, generator)
        losses |= self.masked_losses(target, generator)
        seen = self.view(source, 'weak', generator)
        losses |= self.alignment_losses('source', source, seen)
        losses |= self.alignment_losses('target', target, weak)
        return losses

    def alignment_losses(
        self, domain: str, plain: Labelled, seen: Labelled
    ) -> dict[str, Tensor]:
        """Compute the alignment of a view with the frozen encoder."""
        others = self.frozen(plain.images)[-1]
        # The head runs too, to update its batch norms, as released.
        with self.statistics_of(domain, seen.samples):
            output = self.forward_student(seen.images, auxiliary=False)
        loss = self.alignment(output.pyramid[-1], others)
        return {f'{domain}.loss_alignment': loss}
