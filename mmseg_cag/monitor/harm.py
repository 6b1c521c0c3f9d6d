# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What is known to precede harm, seen in predictions without a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# legend: K classes, P pixels


@dataclass(frozen=True)
class Limits:
    """From where on a change of the predictions is harm.

    Attributes:
        odds: Factor by which the odds of a class rise above, or fall below,
            all that can explain them.
        most: Share of the pixels from which an exploded class counts.
        least: Share of the pixels from which a vanished class counts.
        gone: Share of the pixels that vanished classes had together.
        kept: Cohen's kappa on the source's images that must be left between
            the network before and the one now.
        active: Share of the target's pixels that must have a pseudo label.
        looks: Of the monitor, over which that is averaged.
        sure: Mean probability that the network before must give its own
            predictions on the source: one that has not learnt it is no
            network to go back to.
    """

    odds: float = 6.0
    most: float = 0.05
    least: float = 0.01
    gone: float = 0.1
    kept: float = 0.5
    active: float = 0.01
    looks: int = 5
    sure: float = 0.6


@dataclass(frozen=True)
class Seen:
    """What a network predicts on the images that are looked at.

    Attributes:
        target: Classes of pixels of the target (P,).
        source: Classes of pixels of the source (P,).
    """

    target: np.ndarray
    source: np.ndarray


def shares(prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Compute the share of pixels (K,) that each class is predicted on."""
    counts = np.bincount(prediction.ravel(), minlength=num_classes)
    return counts / max(counts.sum(), 1)


def kappa(one: np.ndarray, other: np.ndarray, num_classes: int) -> float:
    """Compute the agreement of two predictions (P,) beyond chance.

    Source: Cohen, A coefficient of agreement for nominal scales, 1960.
    """
    chance = shares(one, num_classes) @ shares(other, num_classes)
    if chance == 1:
        return 1.0
    return float((np.mean(one == other) - chance) / (1 - chance))


def exploded(
    now: np.ndarray, explained: np.ndarray, limits: Limits
) -> np.ndarray:
    """Mark the classes (K,) that are predicted far too often.

    Args:
        now: Their shares of the target's pixels (K,).
        explained: Shares (R, K) that something explains: what the network
            before predicts on the source and on the target, and what it does
            after each remedy that needs no training.
        limits: From where on that is.
    """
    ratio = _odds(now) / _odds(explained.max(0))
    return (now >= limits.most) & (ratio > limits.odds)


def vanished(
    now: np.ndarray, explained: np.ndarray, limits: Limits
) -> np.ndarray:
    """Mark the classes (K,) that are predicted no more; see `exploded`."""
    least = explained.min(0)
    ratio = _odds(least) / _odds(now)
    return (least >= limits.least) & (ratio > limits.odds)


def signs_of_harm(
    before: Seen,
    now: Seen,
    remedies: Sequence[np.ndarray],
    classes: Sequence[str],
    limits: Limits,
) -> list[str]:
    """Tell what in the predictions is known to precede harm.

    Args:
        before: By the network that adaptation began from.
        now: By the adapted one, on the same images.
        remedies: Predictions on the target (P,) by the former, each after a
            remedy that needs no training.
        classes: Names of the K classes.
        limits: From where on a change is harm.

    Returns:
        A phrase a sign; none where nothing is wrong.
    """
    number = len(classes)
    plausible = [before.source, before.target, *remedies]
    explained = np.stack([shares(seen, number) for seen in plausible])
    share = shares(now.target, number)
    signs = [
        f'{classes[k]} is predicted on {share[k]:.1%} of the target, '
        f'{explained[:, k].max():.1%} at most are explained'
        for k in np.flatnonzero(exploded(share, explained, limits))
    ]
    lost = np.flatnonzero(vanished(share, explained, limits))
    if (gone := explained.min(0)[lost].sum()) >= limits.gone:
        names = ', '.join(classes[k] for k in lost)
        signs.append(f'{names} vanished, {gone:.1%} of the target')
    kept = kappa(before.source, now.source, number)
    if kept < limits.kept:
        signs.append(
            f'on the source it agrees with the network before by kappa '
            f'{kept:.2f} alone'
        )
    return signs


def lacks_labels(records: Sequence[dict], limits: Limits) -> str | None:
    """Tell where a stage has next to no pseudo labels.

    A method without stages weighs all pixels by the share of active ones,
    which may begin at 0, and is not asked.

    Args:
        records: Lines of ``monitor.jsonl``.
        limits: From where on that is harm.

    Returns:
        A phrase, None where nothing is wrong.
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
    return f'{share:.2%} of the target have a pseudo label'


def _odds(share: np.ndarray) -> np.ndarray:
    clipped = share.clip(1e-4, 1 - 1e-4)  # a class of no pixel is not 0 times
    return clipped / (1 - clipped)
