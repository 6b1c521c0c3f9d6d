# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Compute the area under the ROC curve, from 0 to 1.

    That is the chance that a positive has a higher score than a negative,
    ties counting half (Mann and Whitney).

    Args:
        scores: Of any shape.
        positive: bool, in the same shape.

    Returns:
        NaN where there are no positives or no negatives.
    """
    count = int(positive.sum())
    others = positive.size - count
    if not count or not others:
        return float('nan')
    ranks = rankdata(scores.ravel())[positive.ravel()].sum()
    return float((ranks - count * (count + 1) / 2) / (count * others))
