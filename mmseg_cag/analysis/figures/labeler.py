# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from mmseg_cag.analysis.runs.labeler import Labeler, restore_labeler
from mmseg_cag.analysis.runs.network import State, build_preprocessor, view
from mmseg_cag.analysis.runs.samples import (
    preprocess,
    read_samples,
    source_dataset,
    spread,
)
from mmseg_cag.models.anchors.pseudo_label_head import PixelSample
from mmseg_cag.models.segmentors.base import resize_labels


def build_labeler(
    cfg: Config, state: State, origin: Path, images: int
) -> Labeler:
    """Give a network the anchors of its checkpoint, or make some.

    A network that was trained without anchors gets those of its own features,
    with the margin that ``auto`` would choose.

    Args:
        cfg: The run's config.
        state: Weights of a checkpoint; the network is its student.
        origin: Where they are from, for errors.
        images: Source images that anchors are made of where there are none.

    Raises:
        UserError: The network has no classifier ``conv_seg``, the weights are
            of another one, or anchors are wanted and there is no source.
    """
    labeler = restore_labeler(cfg, state, origin)
    if not labeler.has_anchors:
        _make_anchors(labeler, cfg, images)
    return labeler


def _make_anchors(labeler: Labeler, cfg: Config, images: int) -> None:
    dataset = source_dataset(cfg)
    indices = spread(dataset, images)
    preprocessor = build_preprocessor(cfg, 'source')
    centroids = labeler.bank.new_centroids()
    pixels = PixelSample(100_000, len(indices), labeler.bank.anchors)
    for sample in read_samples(dataset, indices):
        seen = view(labeler.model, preprocess(preprocessor, sample))
        labels = sample.truth.unsqueeze(0).to(seen.feat.device)
        labels = resize_labels(labels, seen.feat)
        labeler.bank.accumulate(centroids, seen.feat, seen.logits[0], labels)
        pixels.add(seen.feat, labels)
    labeler.bank.store(centroids)
    if labeler.head.is_auto:
        feat, labels = pixels.gather()
        distances = labeler.bank.distances(feat[:, :, None, None])
        labeler.head.calibrate(distances[:, :, 0, 0], labels)
