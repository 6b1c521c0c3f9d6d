# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# legend: P pixels, K classes


def soft_neighbourhood_density(
    probabilities: Tensor, temperature: float = 0.05, chunk: int = 1024
) -> float:
    """Compute how many near neighbours a prediction has on average (SND).

    Predictions are scaled to length 1; the similarities of one to all others
    (not to itself), divided by the temperature, become a distribution by
    softmax, and the score is its entropy, in nats, averaged over predictions.
    A network that makes dense groups of the target scores high.

    Args:
        probabilities: Class probabilities (P, K) of at least two pixels.
        temperature: What similarities are divided by.
        chunk: Rows of the P x P matrix that are in memory at once.

    Source: Saito et al., "Tune it the Right Way", ICCV 2021, Sec. 3.
    """
    unit = F.normalize(probabilities.float(), dim=1)
    total = 0.0
    for start in range(0, len(unit), chunk):
        rows = unit[start : start + chunk]
        scaled = rows @ unit.T / temperature
        own = torch.arange(len(rows), device=unit.device)
        scaled[own, own + start] = -torch.inf
        logs = scaled.log_softmax(1)
        # 0 log 0 is 0, on the diagonal.
        terms = torch.where(logs.isfinite(), logs.exp() * logs, 0)
        total -= terms.sum().double().item()
    return total / len(unit)
