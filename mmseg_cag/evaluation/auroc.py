# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Compute the area under the ROC curve, from 0 to 1.

    This is the probability that a positive scores higher than a negative, with
    ties counting half (Mann and Whitney).

    Args:
        scores: Scores of any shape.
        positive: Positives, bool of the same shape.

    Returns:
        The area; NaN without positives or negatives.
    """
    count = int(positive.sum())
    others = positive.size - count
    if not count or not others:
        return float('nan')
    ranks = rankdata(scores.ravel())[positive.ravel()].sum()
    return float((ranks - count * (count + 1) / 2) / (count * others))
