# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import nn

from mmseg_cag.datasets.dataset_configs import spread
from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.anchor_bank import AnchorBank
from mmseg_cag.models.anchors.pseudo_label_head import (
    PixelSampler,
    PseudoLabelHead,
    nearest_anchor,
)
from mmseg_cag.models.segmentors.base import SegOutput, resize_labels

from .network import State, build_network, build_preprocessor, view
from .samples import Sample, preprocess, read_samples, source_dataset

# legend: h w feature map

KINDS = ('anchor', 'probability')


class Assigned(NamedTuple):
    """The pseudo labels of one kind (h, w).

    Attributes:
        label: Class of the nearest anchor, or the likeliest one.
        score: Confidence: the gap to the runner-up anchor, or the probability.
        active: Whether the pixel is labelled.
    """

    label: np.ndarray
    score: np.ndarray
    active: np.ndarray


class LabelingNetwork(NamedTuple):
    """A network with anchors and a pseudo label head.

    Attributes:
        model: The network.
        bank: The anchors.
        head: Makes labels from distances and logits.
    """

    model: EncoderDecoder
    bank: AnchorBank
    head: PseudoLabelHead

    @property
    def has_anchors(self) -> bool:
        """Return whether the checkpoint had anchors."""
        return bool(self.bank.counts.any())

    def see(self, preprocessor: nn.Module, sample: Sample) -> SegOutput:
        """Compute the features and logits of an image."""
        return view(self.model, preprocess(preprocessor, sample))

    @torch.no_grad()
    def assign(self, seen: SegOutput, kind: str) -> Assigned:
        """Pseudo-label the pixels of one image.

        Args:
            seen: Output of `see` for the image.
            kind: One of `KINDS`.
        """
        head = self.head
        if kind == 'anchor':
            distances = self.bank.distances(seen.feat)
            label, score = nearest_anchor(distances)
            assigned = head.by_anchor(distances)
        else:
            score, label = seen.logits[0].float().softmax(1).max(1)
            assigned = head.by_probability(seen.logits[0])
            if head.unknown:
                distances = self.bank.distances(seen.feat)
                assigned = head.hide_unknown(assigned, distances)
        maps = (label, score, assigned != head.ignore_index)
        return Assigned(*(part[0].cpu().numpy() for part in maps))


def load_labeling_network(
    cfg: Config, state: State, origin: Path
) -> LabelingNetwork:
    """Load a network with the anchors and margin of its checkpoint.

    Args:
        cfg: The run's config.
        state: Weights of a checkpoint; the network is its student.
        origin: Source of the weights, for errors.

    Raises:
        UserError: The network has no classifier ``conv_seg``, or the weights
            belong to another one.
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
    classes = max(classifier.out_channels, 2)  # one sigmoid: two classes
    bank = load_anchors(cfg, state, classes, classifier.in_channels)
    head = MODELS.build({**settings, 'num_classes': classes})
    if head.is_auto and 'pseudo_label_head.margin' in state:
        head.margin.copy_(state['pseudo_label_head.margin'])
    if head.unknown and 'pseudo_label_head.unknown.limit' in state:
        head.unknown.limit.copy_(state['pseudo_label_head.unknown.limit'])
    device = classifier.weight.device
    return LabelingNetwork(model, bank.to(device), head.to(device))


def load_anchors(
    cfg: Config, state: State, num_classes: int, channels: int
) -> AnchorBank:
    """Load the anchors of a checkpoint, if any.

    Those of each domain need the run's own bank: its margin and limits are of
    distances to the nearest of them.

    Args:
        cfg: The run's config.
        state: Weights of the checkpoint.
        num_classes: Classes K.
        channels: Feature channels C.
    """
    prefix = 'anchor_bank.'
    own = {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if key.startswith(prefix)
    }
    settings = dict(type='AnchorBank')
    if 'domain_anchors' in own:
        settings = cfg.model.get('anchor_bank') or settings
    bank = MODELS.build(
        {**settings, 'num_classes': num_classes, 'channels': channels}
    )
    bank.load_state_dict(own, strict=False)
    return bank


def build_labeling_network(
    cfg: Config,
    state: State,
    origin: Path,
    images: int,
    with_margin: bool = True,
) -> LabelingNetwork:
    """Load a network with its checkpoint's anchors, or compute some.

    For a network trained without anchors, computes them from its own features,
    with the margin that ``auto`` would choose; for one whose margin belongs to
    other scores than the distances, computes that margin.

    Args:
        cfg: The run's config.
        state: Weights of a checkpoint; the network is its student.
        origin: Source of the weights, for errors.
        images: Number of source images to compute what is missing from.
        with_margin: Whether labels by `LabelingNetwork.assign` are needed.

    Raises:
        UserError: The network has no classifier ``conv_seg``, the weights
            belong to another one, or something is missing without a source.
    """
    teacher = load_labeling_network(cfg, state, origin)
    if lacks_margin := with_margin and _has_other_margin(cfg, state):
        teacher.head.is_auto = True
    if lacks_margin or not teacher.has_anchors:
        _look_at_source(teacher, cfg, images)
    return teacher


def _has_other_margin(cfg: Config, state: State) -> bool:
    """Whether the margin is one of a mean teacher's scores, not distances."""
    scores = cfg.model.get('margin_of') or cfg.model.get('labels', 'both')
    return 'running_margin.counts' in state and scores != 'anchor'


def _look_at_source(
    teacher: LabelingNetwork, cfg: Config, images: int
) -> None:
    """Compute missing anchors, the margin and the limits."""
    has_anchors = teacher.has_anchors
    dataset = source_dataset(cfg)
    indices = spread(dataset, images)
    preprocessor = build_preprocessor(cfg, 'source')
    centroids = teacher.bank.new_centroids()
    pixels = PixelSampler(100_000, len(indices), teacher.bank.anchors)
    for sample in read_samples(dataset, indices):
        seen = teacher.see(preprocessor, sample)
        labels = sample.truth.unsqueeze(0).to(seen.feat.device)
        labels = resize_labels(labels, seen.feat)
        pixels.add(seen.feat, labels)
        if not has_anchors:
            domains = [sample.data.get('domain')]
            teacher.bank.accumulate(
                centroids, seen.feat, seen.logits[0], labels, domains
            )
    if not has_anchors:
        teacher.bank.store(centroids)
    if teacher.head.needs_source:
        feat, labels = pixels.gather()
        distances = teacher.bank.distances(feat[:, :, None, None])
        teacher.head.calibrate(distances[:, :, 0, 0], labels)
