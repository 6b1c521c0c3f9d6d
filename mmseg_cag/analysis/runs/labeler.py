# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS

from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.anchor_bank import AnchorBank
from mmseg_cag.models.anchors.pseudo_label_head import PseudoLabelHead

from .network import State, build_network


class Labeler(NamedTuple):
    """A network with anchors, and what labels by them.

    Attributes:
        model: The network.
        bank: The anchors.
        head: Makes labels of distances and of scores.
    """

    model: EncoderDecoder
    bank: AnchorBank
    head: PseudoLabelHead

    @property
    def has_anchors(self) -> bool:
        """Whether the checkpoint had any."""
        return bool(self.bank.counts.any())


def restore_labeler(cfg: Config, state: State, origin: Path) -> Labeler:
    """Give a network the anchors and the margin of its checkpoint.

    Args:
        cfg: The run's config.
        state: Weights of a checkpoint; the network is its student.
        origin: Where they are from, for errors.

    Raises:
        UserError: The network has no classifier ``conv_seg``, or the weights
            are of another one.
    """
    model = build_network(cfg, state, origin)
    classifier = getattr(model.decode_head, 'conv_seg', None)
    if classifier is None:
        raise UserError(
            f'{type(model.decode_head).__name__} has no conv_seg, whose input '
            'the anchors live in'
        )
    settings = cfg.model.get('pseudo_label_head') or dict(
        type='PseudoLabelHead', margin='auto'
    )
    classes = classifier.out_channels
    bank = AnchorBank(classes, classifier.in_channels)
    head = MODELS.build({**settings, 'num_classes': classes})
    if 'anchor_bank.counts' in state:
        bank.counts.copy_(state['anchor_bank.counts'])
        bank.anchors.copy_(state['anchor_bank.anchors'])
    if head.is_auto and 'pseudo_label_head.margin' in state:
        head.margin.copy_(state['pseudo_label_head.margin'])
    device = classifier.weight.device
    return Labeler(model, bank.to(device), head.to(device))
