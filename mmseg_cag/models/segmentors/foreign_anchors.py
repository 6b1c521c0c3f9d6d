# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_cag.errors import require_one_of
from mmseg_cag.models.heads.anchor_head import AnchorHead, require_anchors
from mmseg_cag.models.mixing import Labelled
from mmseg_cag.models.renormalise import Renormalise

from .anchor_teacher import AnchorTeacherSegmentor
from .base import SegOutput, resize_labels
from .cag import feature_sizes
from .daformer import FixedNetwork

# legend: N images, K classes, C channels, H W image, h w feature map

USES = ('none', 'replace', 'veto')


@MODELS.register_module()
class ForeignAnchorSegmentor(AnchorTeacherSegmentor):
    """Anchors of another, frozen encoder combined with a mean teacher.

    `ForeignAnchorHook` computes them on the source before the first step. A
    target pixel is labelled by the nearest anchor where the gap to the
    runner-up reaches the margin.

    .. code:: text

       label_target()       the host's labels, and those by foreign anchors
       labelled_loss()      the host's, and projected features -> anchors

    Args:
        foreign: Config of a segmentor whose head is an `AnchorHead`.
        foreign_labels: Use of its labels: ``none``; ``replace``, train on them
            instead of the host's; ``veto``, ignore the host's labels where a
            foreign anchor disagrees.
        alignment: Config of an `AnchorAlignmentLoss`; None for none.
        **kwargs: Arguments of `AnchorTeacherSegmentor`.

    Raises:
        UserError: The head is not an `AnchorHead` or its classes differ.
    """

    own_state = (*AnchorTeacherSegmentor.own_state, 'projection')
    named_parts = (*AnchorTeacherSegmentor.named_parts, 'foreign')

    def __init__(
        self,
        foreign: dict,
        foreign_labels: str = 'veto',
        alignment: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_one_of('model.foreign_labels', foreign_labels, USES)
        self.foreign_labels = foreign_labels
        network = MODELS.build({'type': 'EncoderDecoder', **foreign})
        require_anchors(network, self.num_classes)
        self.renormalise = Renormalise(
            self.data_preprocessor.of('target'), network.data_preprocessor
        )
        self.foreign = FixedNetwork(network)
        self.alignment = None
        if alignment is not None:
            settings = {'type': 'AnchorAlignmentLoss', **alignment}
            self.alignment = MODELS.build(settings)
            channels = self.foreign_head.anchor_bank.anchors.shape[1]
            own = feature_sizes(self)['channels']
            self.projection = nn.Conv2d(own, channels, 1)

    @property
    def foreign_head(self) -> AnchorHead:
        """The head with the anchors and the margin."""
        return self.foreign.network.decode_head

    def init_weights(self) -> None:
        """Initialise the student and load the foreign encoder."""
        super().init_weights()
        self.foreign.network.init_weights()

    @torch.no_grad()
    def foreign_maps(self, images: Tensor) -> Any:
        """Compute the foreign encoder's maps of images (N, 3, H, W)."""
        return self.foreign.network.extract_feat(self.renormalise(images))

    @torch.no_grad()
    def label_target(
        self, images: Tensor, data_samples: list[SegDataSample]
    ) -> Labelled:
        """Label target images (N, 3, H, W) and weight the labels."""
        target = super().label_target(images, data_samples)
        if self.foreign_labels == 'none':
            return target
        found = self.foreign_head.pseudo_labels(self.foreign_maps(images))
        found = resize_labels(found, target.labels)
        sure = found != self.foreign_head.pseudo_label_head.ignore_index
        if self.foreign_labels == 'veto':
            against = sure & (found != target.labels)
            weight = target.weight.masked_fill(against, 0)
            return target._replace(weight=weight)
        weight = self.online_labels.discard(sure.float(), data_samples)
        labels = found.where(sure, target.labels)
        return target._replace(labels=labels, weight=weight)

    def labelled_loss(
        self, output: SegOutput, batch: Labelled, prefix: str
    ) -> dict[str, Tensor]:
        """Compute the host's losses and the alignment to foreign anchors."""
        losses = super().labelled_loss(output, batch, prefix)
        if self.alignment is None:
            return losses
        head = self.foreign_head
        losses[f'{prefix}.loss_alignment'] = self.alignment(
            head.anchor_bank,
            head.per_class,
            self.projection(output.feat),
            resize_labels(batch.counted_labels(), output.feat),
            None
            if batch.absent is None
            else resize(batch.absent.byte(), output.feat.shape[-2:]).bool(),
        )
        return losses
