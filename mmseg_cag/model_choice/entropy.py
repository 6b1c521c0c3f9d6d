# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from torch import Tensor

# legend: N images, K classes, h w score map


def mean_entropy(logits: Tensor) -> float:
    """Compute how unsure a network is on average.

    The entropy -sum p log p of each pixel's class probabilities, in nats,
    averaged over pixels: 0 where all are certain, log K where all are even.

    Args:
        logits: Class scores (N, K, h, w).
    """
    logs = logits.float().log_softmax(1)
    return -(logs.exp() * logs).sum(1).mean().item()
