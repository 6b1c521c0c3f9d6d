# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Signs of harmful adaptation in predictions, without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# legend: K classes, P pixels


@dataclass(frozen=True)
class Limits:
    """Thresholds from which a change of predictions counts as harm.

    Attributes:
        odds: Factor by which an exploded class's odds exceed all explained
            values.
        most: Minimum pixel share of an exploded class.
        fall: Factor by which a vanished class's odds fall below all explained
            values.
        least: Minimum former pixel share of a vanished class.
        gone: Minimum former pixel share of all vanished classes together.
        kept: Minimum Cohen's kappa on source images between the starting and
            the current network.
        active: Minimum share of target pixels with a pseudo label.
        looks: Number of monitor records to average for it.
        sure: Minimum mean confidence of the starting network on the source: a
            network that has not learnt it is no fallback.
    """

    odds: float = 10.0
    most: float = 0.05
    fall: float = 6.0
    least: float = 0.01
    gone: float = 0.1
    kept: float = 0.5
    active: float = 0.01
    looks: int = 5
    sure: float = 0.6


@dataclass(frozen=True)
class Seen:
    """Predictions of a network on the watched images.

    Attributes:
        target: Predicted classes of target pixels (P,).
        source: Predicted classes of source pixels (P,).
    """

    target: np.ndarray
    source: np.ndarray


def shares(prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Compute the predicted pixel share of each class (K,)."""
    counts = np.bincount(prediction.ravel(), minlength=num_classes)
    return counts / max(counts.sum(), 1)


def kappa(one: np.ndarray, other: np.ndarray, num_classes: int) -> float:
    """Compute Cohen's kappa of two predictions (P,).

    Source: Cohen, A coefficient of agreement for nominal scales, 1960.
    """
    chance = shares(one, num_classes) @ shares(other, num_classes)
    if chance == 1:
        return 1.0
    return float((np.mean(one == other) - chance) / (1 - chance))


def exploded(
    now: np.ndarray, explained: np.ndarray, limits: Limits
) -> np.ndarray:
    """Mark classes (K,) that are predicted far too often.

    Args:
        now: Shares of the target's pixels (K,).
        explained: Explained shares (R, K): predictions of the starting network
            on source and target, and after each training-free remedy.
        limits: Thresholds.
    """
    ratio = _odds(now) / _odds(explained.max(0))
    return (now >= limits.most) & (ratio > limits.odds)


def vanished(
    now: np.ndarray, explained: np.ndarray, limits: Limits
) -> np.ndarray:
    """Mark classes (K,) that are no longer predicted; see `exploded`."""
    least = explained.min(0)
    ratio = _odds(least) / _odds(now)
    return (least >= limits.least) & (ratio > limits.fall)


def signs_of_harm(
    before: Seen,
    now: Seen,
    remedies: Sequence[np.ndarray],
    classes: Sequence[str],
    limits: Limits,
) -> list[str]:
    """List the signs of harm in the predictions.

    Args:
        before: Predictions of the starting network.
        now: Predictions of the adapted network on the same images.
        remedies: Target predictions (P,) of the starting network after each
            training-free remedy.
        classes: Names of the K classes.
        limits: From where on a change is harm.

    Returns:
        One phrase per sign; empty if there are none.
    """
    number = len(classes)
    plausible = [before.source, before.target, *remedies]
    explained = np.stack([shares(seen, number) for seen in plausible])
    share = shares(now.target, number)
    signs = [
        f'{classes[k]} is predicted on {share[k]:.1%} of the target, at most '
        f'{explained[:, k].max():.1%} is explained'
        for k in np.flatnonzero(exploded(share, explained, limits))
    ]
    lost = np.flatnonzero(vanished(share, explained, limits))
    if (gone := explained.min(0)[lost].sum()) >= limits.gone:
        names = ', '.join(classes[k] for k in lost)
        signs.append(f'{names} vanished, {gone:.1%} of the target')
    kept = kappa(before.source, now.source, number)
    if kept < limits.kept:
        signs.append(
            'on the source it agrees with the network before by a kappa of '
            f'only {kept:.2f}'
        )
    return signs


def lacks_labels(records: Sequence[dict], limits: Limits) -> str | None:
    """Check whether a stage has almost no pseudo labels.

    Not checked for methods without stages, which weight all pixels by the
    share of active ones, possibly 0 at the start.

    Args:
        records: Lines of ``monitor.jsonl``.
        limits: Thresholds.

    Returns:
        A phrase, or None if nothing is wrong.
    """
    stage = records[-1].get('stage') if records else None
    active = [
        record['active']
        for record in records
        if record.get('stage') == stage and 'active' in record
    ][-limits.looks :]
    if stage is None or len(active) < limits.looks:
        return None
    share = sum(active) / limits.looks
    if share >= limits.active:
        return None
    return f'only {share:.2%} of the target has a pseudo label'


def _odds(share: np.ndarray) -> np.ndarray:
    clipped = share.clip(1e-4, 1 - 1e-4)  # avoid odds of 0
    return clipped / (1 - clipped)
