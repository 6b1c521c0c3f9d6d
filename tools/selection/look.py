# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Collect a network's predictions on unlabelled images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset

from mmseg_cag.analysis.model_selection.scores import mean_entropy
from mmseg_cag.analysis.runs.labeling_network import LabelingNetwork
from mmseg_cag.analysis.runs.network import build_preprocessor, predict_map
from mmseg_cag.analysis.runs.samples import Sample, read_samples
from mmseg_cag.progress import track

# legend: N images, K classes, H W image, h w feature map

VOID = 255


class Looks(NamedTuple):
    """Statistics of N images.

    Attributes:
        shares: Share of pixels (N, K) nearest to each class's anchor.
        unsure: Share of pixels (N, K) where that is ambiguous: the runner-up
            is within the margin.
        entropy: Mean entropy (N,) of the classifier's probabilities.
    """

    shares: np.ndarray
    unsure: np.ndarray
    entropy: np.ndarray


def look_at(
    network: LabelingNetwork,
    cfg: Config,
    dataset: BaseSegDataset,
    indices: list[int],
) -> Looks:
    """Run the network on target images.

    Args:
        network: The network with anchors.
        cfg: The run's config.
        dataset: The images; their labels are never opened.
        indices: Indices of the images.

    Raises:
        UserError: An image cannot be read.
    """
    preprocessor = build_preprocessor(cfg, 'target')
    classes = network.bank.counts.numel()
    rows = []
    samples = read_samples(dataset, indices)
    for sample in track(samples, 'Look at images', len(indices)):
        seen = network.see(preprocessor, sample)
        found = network.assign(seen, 'anchor')
        labels, unsure = found.label.ravel(), ~found.active.ravel()
        counts = [
            np.bincount(part, minlength=classes) / labels.size
            for part in (labels, labels[unsure])
        ]
        rows.append((*counts, mean_entropy(seen.logits[0])))
    return Looks(*map(np.array, zip(*rows, strict=True)))


def prelabel(
    network: LabelingNetwork, cfg: Config, sample: Sample
) -> np.ndarray:
    """Label an image where classifier and anchors agree confidently.

    Returns:
        Classes (H, W) uint8 at the image's own size, 255 where unsure.
    """
    seen = network.see(build_preprocessor(cfg, 'target'), sample)
    found = network.assign(seen, 'anchor')
    near = np.where(found.active, found.label, VOID).astype(np.uint8)
    labels = predict_map(network.model, sample)
    at_image = torch.nn.functional.interpolate(
        torch.from_numpy(near)[None, None], labels.shape, mode='nearest'
    )[0, 0].numpy()
    return np.where(at_image == labels, labels, VOID).astype(np.uint8)
