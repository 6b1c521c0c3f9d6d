# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""How rare a score is where nothing has changed."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

SHARE = 0.1  # of the scores is the tail
WIDER = 2.0  # standard errors by which a tail is taken to be longer
RAREST = 1e-9  # no frame is said to be rarer: the tail is a model


class Tail(NamedTuple):
    """The upper tail of a score: exponential beyond the 90 % quantile.

    Attributes:
        typical: The median.
        start: Where the tail starts.
        scale: Its mean excess, wide by two standard errors.
    """

    typical: float
    start: float
    scale: float

    @classmethod
    def fit(cls, scores: np.ndarray, correlation: int) -> Tail:
        """Fit the tail of scores.

        Args:
            scores: Of frames of the target (F,).
            correlation: Frames after which one is independent; so many of
                them count as one in the error.
        """
        start = float(np.quantile(scores, 1 - SHARE))
        excess = scores[scores > start] - start
        count = max(SHARE * len(scores) / correlation, 1)
        mean = float(excess.mean()) if len(excess) else 0.0
        # A score that never varied: any other value is news.
        scale = max(mean * (1 + WIDER / math.sqrt(count)), 1e-6)
        return cls(float(np.median(scores)), start, scale)

    def rarity(self, score: float) -> float:
        """Compute how often a score is at least as high, as a p-value.

        It is 1 below the tail, `RAREST` at least.
        """
        if score <= self.start:
            return 1.0
        excess = (score - self.start) / self.scale
        return max(SHARE * math.exp(-excess), RAREST)
