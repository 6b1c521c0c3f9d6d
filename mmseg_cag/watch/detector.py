# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math

POWER = 0.15  # of the bet; small ones win more by rarer scores


class Detector:
    """A sequential test of one score, for streams whose frames are alike.

    Each frame's p-value p bets e = POWER p^(POWER - 1), whose mean
    is at most 1 while nothing has changed (the power martingale). The test
    is the CUSUM of e^(1/m), m frames being what it takes for a frame
    to be independent. It is the geometric mean of m CUSUMs, each of every
    m-th frame, so it is large only where one of those is; a CUSUM is below
    its Shiryaev-Roberts sum, whose mean after n bets is at most n. So the
    chance of an alarm within T frames is at most T / ``limit``.

    Args:
        correlation: The frames m.
        limit: Frames between two false alarms, on average, at least.

    Source: Shin, Ramdas and Rinaldo, "E-detectors" (2023), for tests of
    this kind; Vovk, Gammerman and Shafer (2005) for the bet.
    """

    def __init__(self, correlation: int, limit: float) -> None:
        self.correlation = correlation
        self.limit = math.log(limit)
        self.evidence = 0.0
        self.is_alarmed = False

    def add(self, rarity: float) -> bool:
        """Take the p-value of a frame; tells whether an alarm begins.

        It goes on until nothing is left of the evidence.
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
