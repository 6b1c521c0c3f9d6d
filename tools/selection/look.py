# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a network says of unlabelled images, image by image."""

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
    """What is known of N images.

    Attributes:
        shares: Share of the pixels (N, K) whose nearest anchor is of a class.
        unsure: Share of the pixels (N, K) of which that is no clear case:
            the runner-up is nearer than the margin.
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
    """Look at images of the target.

    Args:
        network: The network with anchors.
        cfg: The run's config.
        dataset: The images; no label of them is opened.
        indices: Which of them.

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
    """Label an image where classifier and anchors agree and are sure.

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
