# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Model how rare a score is without domain shift."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

SHARE = 0.1  # share of the scores in the tail
WIDER = 2.0  # standard errors added to the tail's length
RAREST = 1e-9  # least p-value: the tail is only a model


class Tail(NamedTuple):
    """The upper tail of a score: exponential beyond the 90 % quantile.

    Attributes:
        typical: The median.
        start: Start of the tail.
        scale: Its mean excess, plus two standard errors.
    """

    typical: float
    start: float
    scale: float

    @classmethod
    def fit(cls, scores: np.ndarray, correlation: int) -> Tail:
        """Fit the tail to scores.

        Args:
            scores: Scores of target frames (F,).
            correlation: Lag in frames after which frames are independent; that
                many count as one in the error.
        """
        start = float(np.quantile(scores, 1 - SHARE))
        excess = scores[scores > start] - start
        count = max(SHARE * len(scores) / correlation, 1)
        mean = float(excess.mean()) if len(excess) else 0.0
        # The score never varied: any other value is an anomaly.
        scale = max(mean * (1 + WIDER / math.sqrt(count)), 1e-6)
        return cls(float(np.median(scores)), start, scale)

    def surprise(self, score: float) -> float:
        """Compute -log p in nats: 0 below the tail, without upper bound.

        A score that is not finite counts as `RAREST`.
        """
        if not math.isfinite(score):
            return -math.log(RAREST)
        if score <= self.start:
            return 0.0
        return (score - self.start) / self.scale - math.log(SHARE)

    def rarity(self, score: float) -> float:
        """Compute the p-value of a score.

        It is 1 below the tail, and at least `RAREST`.
        """
        return max(math.exp(-self.surprise(score)), RAREST)
