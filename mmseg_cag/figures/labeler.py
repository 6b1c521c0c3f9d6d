# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from mmengine.config import Config
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.finished_runs.samples import (
    preprocess,
    read_samples,
    source_dataset,
    spread,
)
from mmseg_cag.models.anchors import AnchorBank
from mmseg_cag.models.heads import PseudoLabelHead
from mmseg_cag.models.pixel_sample import PixelSample
from mmseg_cag.models.segmentors import CAGSegmentor
from mmseg_cag.models.segmentors.uda import View, forward_view, resize_labels


@dataclass(frozen=True)
class Labeler:
    """A network that labels target pixels, with its anchors.

    Attributes:
        parts: Its ``backbone``, ``decode_head`` and, if any, ``neck``.
        bank: The anchors.
        head: What makes labels of distances and of scores.
    """

    parts: Mapping[str, nn.Module]
    bank: AnchorBank
    head: PseudoLabelHead

    @torch.no_grad()
    def view(self, images: Tensor) -> View:
        """Compute features and scores of images (N, 3, H, W)."""
        parts = self.parts
        neck = parts['neck'] if 'neck' in parts else None
        return forward_view(
            parts['backbone'], neck, parts['decode_head'], images
        )


def find_labeler(
    model: EncoderDecoder, cfg: Config, images: int, frozen: bool
) -> Labeler:
    """Take the labeler of a CAG checkpoint, or make one of any network.

    A network that was trained without anchors gets those of its own features,
    with the margin that ``auto`` would choose.

    Args:
        model: The network.
        cfg: The run's config.
        images: Source images that anchors are made from where there are none.
        frozen: Whether to look through CAG's frozen labeler, which the
            anchors are of, or through the student.

    Raises:
        UserError: The network has no classifier ``conv_seg``, or there is no
            source.
    """
    is_cag = isinstance(model, CAGSegmentor)
    parts = model.labeler if is_cag and frozen else student_parts(model)
    if is_cag and model.anchor_bank.counts.any():
        return Labeler(parts, model.anchor_bank, model.pseudo_label_head)
    classifier = getattr(model.decode_head, 'conv_seg', None)
    if classifier is None:
        raise UserError(
            f'{type(model.decode_head).__name__} has no conv_seg, whose input '
            'the anchors live in'
        )
    sizes = classifier.out_channels, classifier.in_channels
    labeler = Labeler(
        parts,
        AnchorBank(*sizes).to(classifier.weight.device),
        PseudoLabelHead(sizes[0], margin='auto').to(classifier.weight.device),
    )
    _compute_anchors(labeler, model, cfg, images)
    return labeler


def student_parts(model: EncoderDecoder) -> dict[str, nn.Module]:
    """The modules that make a prediction, by name."""
    names = ['backbone', 'decode_head'] + ['neck'] * model.with_neck
    return {name: getattr(model, name) for name in names}


def _compute_anchors(
    labeler: Labeler, model: EncoderDecoder, cfg: Config, images: int
) -> None:
    dataset = source_dataset(cfg)
    indices = spread(dataset, images)
    centroids = labeler.bank.new_centroids()
    pixels = PixelSample(100_000, len(indices), labeler.bank.anchors)
    for sample in read_samples(dataset, indices):
        view = labeler.view(preprocess(model, sample, 'source'))
        labels = sample.truth.unsqueeze(0).to(view.feat.device)
        labels = resize_labels(labels, view.feat)
        labeler.bank.accumulate(centroids, view.feat, view.logits, labels)
        pixels.add(view.feat, labels)
    labeler.bank.store(centroids)
    feat, labels = pixels.gather()
    distances = labeler.bank.distances(feat[:, :, None, None])
    labeler.head.calibrate(distances[:, :, 0, 0], labels)
