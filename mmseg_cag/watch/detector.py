# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math

POWER = 0.15  # exponent of the bet; a small one gains more from rare scores


class Detector:
    """Sequential test of one score, for streams of correlated frames.

    Each frame's p-value p bets e = POWER p^(POWER - 1), whose mean is at most
    1 while nothing has changed (the power martingale). The test is the CUSUM
    of e^(1/m), where frames are independent after m frames. It is the
    geometric mean of m CUSUMs, each over every m-th frame, so it is large only
    if one of them is. A CUSUM is below its Shiryaev-Roberts sum, whose mean
    after n bets is at most n. So the chance of an alarm within T frames is at
    most T / ``limit``.

    Args:
        correlation: The lag m, in frames.
        limit: Minimum average number of frames between false alarms.

    Source: Shin, Ramdas and Rinaldo, "E-detectors" (2023), for tests of
    this kind; Vovk, Gammerman and Shafer (2005) for the bet.
    """

    def __init__(self, correlation: int, limit: float) -> None:
        self.correlation = correlation
        self.limit = math.log(limit)
        self.evidence = 0.0
        self.is_alarmed = False

    def add(self, rarity: float) -> bool:
        """Add the p-value of a frame; returns whether an alarm starts.

        The alarm lasts until all evidence is gone.
        """
        bet = math.log(POWER) + (POWER - 1) * math.log(rarity)
        evidence = self.evidence + bet / self.correlation
        self.evidence = min(max(evidence, 0.0), self.limit)
        before = self.is_alarmed
        if self.evidence >= self.limit:
            self.is_alarmed = True
        elif self.evidence == 0:
            self.is_alarmed = False
        return self.is_alarmed and not before
