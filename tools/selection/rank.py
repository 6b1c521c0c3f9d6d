# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Which images are worth a label, from what is known of each."""

from __future__ import annotations

import numpy as np
from decisions.near_duplicates import thin

from .look import Looks

# legend: N images, K classes

WAYS = ('anchors', 'entropy', 'random')
POOL = 5  # candidates of the ranking for each image that is chosen


def anchor_scores(looks: Looks) -> np.ndarray:
    """Score images (N,) by their unclear pixels, those of rare classes more.

    A pixel counts 1 / sqrt(share of its class in all images): so a class that
    has a hundredth of the pixels of another has a tenth of its weight.
    """
    share = looks.shares.mean(0)
    weight = np.divide(
        1, np.sqrt(share), out=np.zeros_like(share), where=share > 0
    )
    return looks.unsure @ weight


def k_centres(points: np.ndarray, first: int, count: int) -> list[int]:
    """Choose points that are far from each other, one after another.

    Each is the one whose nearest chosen point is farthest (Gonzalez 1985;
    Sener and Savarese, "Active Learning for Convolutional Neural Networks",
    ICLR 2018, Alg. 1).

    Args:
        points: (N, D).
        first: The point to begin with.
        count: How many to choose, N at most.
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
    """Choose images to label, the first ones first.

    ``anchors`` takes the best five times as many, and of these the ones whose
    class histograms are far from each other (Hellinger distance); ``entropy``
    the most entropic; ``random`` any. Near-duplicates of one that is ranked
    higher are left out by all three.

    Args:
        looks: What is known of the images.
        thumbnails: Theirs (N, D).
        count: How many; fewer come back where too few are left.
        by: Of `WAYS`.
        seed: Of the random choice.
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
