# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Bootstrap confidence intervals over images or groups of images."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

# legend: N units, F counts of a unit, S statistics, R resamples, K classes

Statistic = Callable[[np.ndarray], np.ndarray]
CHUNK = 256  # resamples in memory at once
# Units that a 95 % interval needs. The widest one, from the least to the
# greatest of G units, misses a median with the probability 2^(1 - G).
MIN_GROUPS = 6


@dataclass(frozen=True)
class Intervals:
    """Statistics with confidence intervals.

    Attributes:
        value: Statistics of the whole set (S,).
        low: Lower ends (S,), NaN where a value is, and of a single unit,
            which tells nothing about the spread.
        high: Upper ends (S,).
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def bootstrap(
    units: np.ndarray,
    statistic: Statistic,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Intervals:
    """Compute intervals of statistics that are functions of summed counts.

    Resamples of all units with replacement give the statistic's percentiles,
    which are slightly widened because few units vary too little (Hesterberg,
    "What Teachers Should Know About the Bootstrap", The American Statistician
    2015, Sec. 4.2: the expanded percentile interval).

    Args:
        units: Counts (N, F) of images, or of groups of images that belong
            together. For a paired difference a unit has both counts.
        statistic: Maps sums (R, F) to (R, S); NaN if undefined.
        level: Coverage of the intervals.
        resamples: Number of resamples R.
        seed: Seed of the draws.
    """
    units = np.asarray(units, np.float64)
    rng = np.random.default_rng(seed)
    total = units.sum(0)
    value = statistic(total[None])[0]
    if len(units) < 2:
        unknown = np.full_like(value, np.nan)
        return Intervals(value, unknown, unknown)
    draws = np.concatenate(
        [
            statistic(
                rng.multinomial(
                    len(units), np.full(len(units), 1 / len(units)), size
                )
                @ units
            )
            for size in _chunks(resamples)
        ]
    )
    shares = _shares(len(units), level)
    with np.errstate(invalid='ignore'):
        known = np.where(np.isfinite(value), draws, 0)
        ends = np.nanquantile(known, shares, axis=0)
    return Intervals(value, *np.where(np.isfinite(value), ends, np.nan))


def _chunks(resamples: int) -> list[int]:
    whole, rest = divmod(resamples, CHUNK)
    return [CHUNK] * whole + [rest] * bool(rest)


def _shares(units: int, level: float) -> list[float]:
    """Compute the percentiles of the two ends."""
    tail = t.ppf((1 - level) / 2, units - 1)
    low = float(norm.cdf(tail * np.sqrt(units / (units - 1))))
    return [low, 1 - low]


def group_sums(units: np.ndarray, groups: Sequence[Hashable]) -> np.ndarray:
    """Sum the counts (N, F) of units by group.

    Args:
        units: Counts of images.
        groups: Group of each image, such as its drive, tile or person.
    """
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((numbers.max() + 1, units.shape[1]))
    np.add.at(sums, numbers, units)
    return sums


def class_counts(confusions: np.ndarray) -> np.ndarray:
    """Reduce confusion matrices to the counts for IoU and F1.

    Args:
        confusions: Pixels (N, K, K), rows are the ground truth.

    Returns:
        (N, 3 K): correct, predicted and true pixels by class.
    """
    parts = (
        np.diagonal(confusions, axis1=1, axis2=2),
        confusions.sum(1),
        confusions.sum(2),
    )
    return np.concatenate(parts, 1).astype(np.float64)


def iou_of(sums: np.ndarray) -> np.ndarray:
    """Compute the IoU (R, K), 0 to 1, from sums (R, 3 K) of counts.

    It is NaN for a class without a label. As 0, it would depend on the
    network whether the class counts, so two networks would be averaged over
    other classes; and a rare class that a resample misses would count as 0.
    """
    right, predicted, true = np.split(sums, 3, 1)
    return _labelled(right, predicted + true - right, true)


def f1_of(sums: np.ndarray) -> np.ndarray:
    """Compute the F1 (R, K), 0 to 1, from sums (R, 3 K) of counts.

    It is NaN for a class without a label, as in `iou_of`.
    """
    right, predicted, true = np.split(sums, 3, 1)
    return _labelled(2 * right, predicted + true, true)


def mean_of(scores: np.ndarray) -> np.ndarray:
    """Compute the mean (R, 1) over defined class scores (R, K)."""
    known = np.isfinite(scores)
    total = np.where(known, scores, 0).sum(1, keepdims=True)
    return _divide(total, known.sum(1, keepdims=True))


def _labelled(
    part: np.ndarray, whole: np.ndarray, true: np.ndarray
) -> np.ndarray:
    return np.where(true > 0, _divide(part, whole), np.nan)


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(
        part, whole, out=np.full(part.shape, np.nan), where=whole > 0
    )
