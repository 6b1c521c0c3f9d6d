# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Features of sampled pixels of both domains in several networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmseg_cag.analysis.runs.labeling_network import LabelingNetwork
from mmseg_cag.analysis.runs.samples import Sample
from mmseg_cag.errors import MissingFileError
from mmseg_cag.models.segmentors.base import resize_labels

# legend: P pixels, K classes, C feature channels, h w feature map


class Panel(NamedTuple):
    """Embedded pixels and anchors of one network.

    Attributes:
        title: Above the panel.
        domains: By name, positions (P, 2) and true classes (P,).
        anchors: Positions (K, 2), NaN for a class without one.
    """

    title: str
    domains: dict[str, tuple[np.ndarray, np.ndarray]]
    anchors: np.ndarray


class Pixels(NamedTuple):
    """Sampled pixels of a domain.

    Attributes:
        labels: True classes (P,); K where the images have no labels.
        feats: Their features (P, C), one array for each network.
    """

    labels: np.ndarray
    feats: list[np.ndarray]


def sample_features(
    samples: Iterable[Sample],
    preprocessor: nn.Module,
    teachers: Sequence[LabelingNetwork],
    per_class: int,
    per_image: int = 10,
) -> Pixels:
    """Sample pixels of each class and compute their features.

    All networks see the same pixels; the choice is random and repeatable.

    Args:
        samples: Images of a domain. Without labels, as many pixels as for K
            classes are sampled anywhere.
        preprocessor: Normalises them.
        teachers: The networks.
        per_class: Maximum number of pixels of a class.
        per_image: Maximum number of them from one image.
    """
    rng = np.random.default_rng(0)
    labels, feats = [], [[] for _ in teachers]
    classes, times = len(teachers[0].bank.anchors), 1
    for sample in samples:
        seen = [teacher.see(preprocessor, sample).feat for teacher in teachers]
        if sample.has_truth:
            truth = resize_labels(sample.truth[None], seen[0])[0].numpy()
        else:
            truth, times = np.full(seen[0].shape[-2:], classes), classes
        chosen = choose_pixels(truth, classes + 1, per_image * times, rng)
        labels.append(truth.ravel()[chosen])
        for own, feat in zip(feats, seen, strict=True):
            own.append(feat.flatten(2)[0].T[torch.from_numpy(chosen)].cpu())
    joined = np.concatenate(labels)
    kept = choose_pixels(joined, classes + 1, per_class * times, rng)
    return Pixels(
        joined[kept], [torch.cat(own).numpy()[kept] for own in feats]
    )


def choose_pixels(
    labels: np.ndarray, num_classes: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Sample up to ``count`` pixels of each class.

    Args:
        labels: Classes of any shape; values outside 0..K-1 are left out.
        num_classes: Classes K.
        count: Maximum number of pixels of a class.
        rng: Random generator.

    Returns:
        Indices into the flat labels.
    """
    chosen = []
    for k in range(num_classes):
        own = np.flatnonzero(labels == k)
        chosen.append(rng.permutation(own)[:count])
    return np.concatenate(chosen)


def nearest_share(
    teacher: LabelingNetwork, pixels: Pixels, number: int
) -> float:
    """Compute the share of pixels nearest to the anchor of their class.

    Averaged over classes, for the network with that index.
    """
    feat = torch.from_numpy(pixels.feats[number])
    feat = feat.to(teacher.bank.anchors.device)[:, :, None, None]
    nearest: Tensor = teacher.bank.distances(feat).argmin(1)
    right = nearest.flatten().cpu().numpy() == pixels.labels
    classes = np.unique(pixels.labels)
    return float(np.mean([right[pixels.labels == k].mean() for k in classes]))


def lay_out(
    titles: Sequence[str],
    teachers: Sequence[LabelingNetwork],
    domains: dict[str, Pixels],
) -> list[Panel]:
    """Embed pixels and anchors of all networks together.

    Args:
        titles: Of the networks.
        teachers: The networks with their anchors.
        domains: The sampled pixels, by name of the domain.

    Returns:
        A panel for each network. Its title states the share of target pixels
        nearest to the anchor of their class, if labels exist.
    """
    known = [teacher.bank.counts.cpu().numpy() > 0 for teacher in teachers]
    parts = [
        part
        for number, teacher in enumerate(teachers)
        for part in (
            *(pixels.feats[number] for pixels in domains.values()),
            teacher.bank.anchors.cpu().numpy()[known[number]],
        )
    ]
    placed = iter(embed_2d(parts))
    panels = []
    for number, (title, teacher) in enumerate(
        zip(titles, teachers, strict=True)
    ):
        positions = {
            name: (next(placed), pixels.labels)
            for name, pixels in domains.items()
        }
        anchors = np.full((len(known[number]), 2), np.nan)
        anchors[known[number]] = next(placed)
        if (domains['target'].labels < len(known[number])).all():
            share = nearest_share(teacher, domains['target'], number)
            title += f': {share:.0%} of target pixels nearest to their anchor'
        panels.append(Panel(title, positions, anchors))
    return panels


def embed_2d(parts: Sequence[np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """Embed the points of several arrays jointly in 2D by t-SNE.

    A joint embedding makes positions comparable. It starts from the principal
    components and is deterministic.

    Args:
        parts: Arrays (P, C) of features.
        seed: Random seed.

    Returns:
        Positions (P, 2) of each array's points, around 0 and within 1.

    Raises:
        MissingFileError: scikit-learn is not installed.
    """
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    except ModuleNotFoundError as error:
        raise MissingFileError(
            'scikit-learn is not installed: pip install scikit-learn'
        ) from error
    points = np.concatenate(parts).astype(np.float64)
    components = min(30, *points.shape)
    points = PCA(components, random_state=seed).fit_transform(points)
    layout = TSNE(
        perplexity=min(30, (len(points) - 1) / 3),
        init='pca',
        random_state=seed,
    ).fit_transform(points)
    layout -= layout.mean(0)
    layout /= np.abs(layout).max()
    ends = np.cumsum([len(part) for part in parts])
    return np.split(layout, ends[:-1])
