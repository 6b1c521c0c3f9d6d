# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Rank images by how much they are worth labelling."""

from __future__ import annotations

import numpy as np
from decisions.near_duplicates import thin

from .look import Looks

# legend: N images, K classes

WAYS = ('anchors', 'entropy', 'random')
POOL = 5  # ranked candidates per chosen image


def anchor_scores(looks: Looks) -> np.ndarray:
    """Score images (N,) by their ambiguous pixels, weighting rare classes.

    A pixel counts 1 / sqrt(share of its class in all images): a class with a
    hundredth of another's pixels has a tenth of its weight.
    """
    share = looks.shares.mean(0)
    weight = np.divide(
        1, np.sqrt(share), out=np.zeros_like(share), where=share > 0
    )
    return looks.unsure @ weight


def k_centres(points: np.ndarray, first: int, count: int) -> list[int]:
    """Choose points far from each other, greedily.

    Each next point is the one farthest from all chosen points (Gonzalez 1985;
    Sener and Savarese, "Active Learning for Convolutional Neural Networks",
    ICLR 2018, Alg. 1).

    Args:
        points: (N, D).
        first: Index of the first point.
        count: Number of points, at most N.
    """
    chosen = [first]
    nearest = np.linalg.norm(points - points[first], axis=1)
    while len(chosen) < count:
        nearest[chosen[-1]] = -1
        chosen.append(int(nearest.argmax()))
        far = np.linalg.norm(points - points[chosen[-1]], axis=1)
        nearest = np.minimum(nearest, far)
    return chosen


def choose(
    looks: Looks, thumbnails: np.ndarray, count: int, by: str, seed: int = 0
) -> list[int]:
    """Choose images to label, best first.

    ``anchors`` takes five times as many top candidates, and among these the
    ones whose class histograms are far apart (Hellinger distance); ``entropy``
    takes the highest entropy; ``random`` any. All three skip near-duplicates
    of a higher-ranked image.

    Args:
        looks: Statistics of the images.
        thumbnails: Their thumbnails (N, D).
        count: Number of images; fewer if too few remain.
        by: One of `WAYS`.
        seed: Seed of the random choice.
    """
    if by == 'random':
        order = np.random.default_rng(seed).permutation(len(thumbnails))
    elif by == 'entropy':
        order = np.argsort(-looks.entropy, kind='stable')
    else:
        order = np.argsort(-anchor_scores(looks), kind='stable')
    kept = thin(order.tolist(), thumbnails)
    if by != 'anchors':
        return kept[:count]
    pool = kept[: POOL * count]
    centres = k_centres(np.sqrt(looks.shares[pool]), 0, min(count, len(pool)))
    return [pool[i] for i in centres]
