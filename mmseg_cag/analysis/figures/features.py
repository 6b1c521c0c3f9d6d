# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Features of sampled pixels of both domains, seen by several networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmseg_cag.analysis.runs.labeler import Labeler
from mmseg_cag.analysis.runs.network import view
from mmseg_cag.analysis.runs.samples import Sample, preprocess
from mmseg_cag.models.segmentors.base import resize_labels

# legend: P pixels, C feature channels, h w feature map


class Pixels(NamedTuple):
    """Sampled pixels of a domain.

    Attributes:
        labels: True classes (P,).
        feats: Their features (P, C), one array for each network.
    """

    labels: np.ndarray
    feats: list[np.ndarray]


def sample_features(
    samples: Iterable[Sample],
    preprocessor: nn.Module,
    labelers: Sequence[Labeler],
    per_class: int,
    per_image: int = 10,
) -> Pixels:
    """Sample pixels of each class and compute their features.

    All networks see the same pixels; the choice is random and repeatable.

    Args:
        samples: Images of a domain, with truth.
        preprocessor: Normalises them.
        labelers: The networks.
        per_class: At most so many pixels of a class.
        per_image: At most so many of them from one image.
    """
    rng = np.random.default_rng(0)
    labels, feats = [], [[] for _ in labelers]
    for sample in samples:
        images = preprocess(preprocessor, sample)
        seen = [view(labeler.model, images).feat for labeler in labelers]
        truth = resize_labels(sample.truth.unsqueeze(0), seen[0])[0].numpy()
        classes = len(labelers[0].bank.anchors)
        chosen = choose_pixels(truth, classes, per_image, rng)
        labels.append(truth.ravel()[chosen])
        for own, feat in zip(feats, seen, strict=True):
            own.append(feat.flatten(2)[0].T[torch.from_numpy(chosen)].cpu())
    joined = np.concatenate(labels)
    kept = choose_pixels(joined, joined.max(initial=0) + 1, per_class, rng)
    return Pixels(
        joined[kept], [torch.cat(own).numpy()[kept] for own in feats]
    )


def choose_pixels(
    labels: np.ndarray, num_classes: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Choose at most so many pixels of each class.

    Args:
        labels: Classes of any shape; values outside 0..K-1 are left out.
        num_classes: Classes K.
        count: At most so many of a class.
        rng: What chooses.

    Returns:
        Indices into the flat labels.
    """
    chosen = []
    for k in range(num_classes):
        own = np.flatnonzero(labels == k)
        chosen.append(rng.permutation(own)[:count])
    return np.concatenate(chosen)


def nearest_share(labeler: Labeler, pixels: Pixels, number: int) -> float:
    """Compute the share of classes' pixels whose nearest anchor is theirs.

    The mean over classes, for the network of that number.
    """
    feat = torch.from_numpy(pixels.feats[number])
    feat = feat.to(labeler.bank.anchors.device)[:, :, None, None]
    nearest: Tensor = labeler.bank.distances(feat).argmin(1)
    right = nearest.flatten().cpu().numpy() == pixels.labels
    classes = np.unique(pixels.labels)
    return float(np.mean([right[pixels.labels == k].mean() for k in classes]))
