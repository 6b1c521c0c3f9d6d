# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path
from typing import Any

from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Generator, Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.anchor_bank import AnchorBank
from mmseg_cag.models.anchors.source_pixels import SourcePixels
from mmseg_cag.models.binary import two_class_scores

from .base import SegOutput
from .cag import CAGSegmentor, feature_sizes

# legend: N images, K classes, C feature channels, h w feature map


@MODELS.register_module()
class SourceFreeCAGSegmentor(CAGSegmentor):
    """Source-free CAG: needs only a file of anchors and class moments.

    .. code:: text

       label_target()        teacher -> AnchorBank -> PseudoLabelHead
       source_losses()       CE on pixels drawn about the class means
       pseudo_label_losses() CE on the pseudo labels
       anchor_losses()       distance to the anchors, target

    The drawn pixels keep the classifier on the source's feature distribution.
    Anchors, margin and moments stay those of the file that
    ``tools/export_source_free.py`` writes and ``load_from`` names. Drawn
    pixels do not pass the backbone, so the source's anchor distance has no
    gradient. Auxiliary heads, which only the source trains, are frozen.

    Args:
        source_pixels: Pixels drawn per class and step.
        **kwargs: Arguments of `CAGSegmentor`.

    Raises:
        UserError: The anchors are of each domain.
    """

    domains = ('target',)

    def __init__(self, source_pixels: int = 256, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_one_set(self.anchor_bank)
        self.pixels_drawn = source_pixels
        self.source_pixels = SourcePixels(**feature_sizes(self))
        if self.with_auxiliary_head:
            self.auxiliary_head.requires_grad_(False)

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: dict[str, list[SegDataSample]],
    ) -> dict[str, Tensor]:
        """Compute CE on drawn and target pixels, and target distances."""
        generator = self.step_generator()
        images = inputs['target']
        target = self.forward_student(images, auxiliary=False)
        self.observe(images=images, student=self.main_logits(target).detach())
        pseudo_labels = self.label_target(images, data_samples['target'])
        losses = self.source_losses(generator)
        losses |= self.pseudo_label_losses(target, pseudo_labels)
        labels = pseudo_labels.get('anchor')
        losses |= self.anchor_losses(target=(target, labels))
        return losses

    def source_losses(self, generator: Generator) -> dict[str, Tensor]:
        """Compute the head's losses on pixels of the class Gaussians."""
        feat, labels, weight = self.source_pixels.draw(
            self.pixels_drawn, generator
        )
        scores = two_class_scores(self.decode_head.cls_seg(feat))
        output = SegOutput([scores], feat, [])
        return self.supervised_loss(output, labels, 'source', weight)

    def require_state(
        self, state: dict[str, Tensor], path: str | Path
    ) -> None:
        """Check a checkpoint's source statistics before loading it.

        Args:
            state: Its weights.
            path: The checkpoint.

        Raises:
            UserError: Anchors or moments are missing, invalid, or of another
                network.
        """
        parts = ('anchor_bank.', 'pseudo_label_head.', 'source_pixels.')
        for key, value in self.state_dict().items():
            if not key.startswith(parts):
                continue
            if key not in state:
                problem = f'has no {key}'
            elif state[key].shape != value.shape:
                sizes = [tuple(v.shape) for v in (state[key], value)]
                problem = (
                    f'{key} has shape {sizes[0]}, but {sizes[1]} in this '
                    'network'
                )
            elif len(wrong := state[key][is_invalid(key, state[key])]):
                problem = f'{key} holds the number {wrong[0].item():g}'
            elif not state[key].any() and key.endswith(('counts', 'prior')):
                problem = f'{key} is 0 for every class'
            else:
                continue
            raise UserError(
                f'{path}: {problem}, expected a file of '
                'tools/export_source_free.py'
            )


def is_invalid(key: str, values: Tensor) -> Tensor:
    """Find the numbers that a source statistic cannot have.

    Args:
        key: Its key.
        values: Of any shape.
    """
    if key.endswith(('margin', 'limit')):
        # Infinite where no pixel is labelled, or none is unknown.
        return ~(values >= 0)
    is_share = key.endswith(('counts', 'prior'))
    return ~values.isfinite() | (is_share & (values < 0))


def require_one_set(bank: AnchorBank) -> None:
    """Check that a file about the source can hold the anchors.

    Raises:
        UserError: They are of each domain.
    """
    if hasattr(bank, 'domains'):
        raise UserError(
            f'model.anchor_bank.type={type(bank).__name__}: a file of '
            'tools/export_source_free.py holds one set of anchors, expected '
            'AnchorBank'
        )
