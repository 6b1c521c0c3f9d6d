# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# legend: N images, K classes, h w score map, P pixels


def mean_entropy(logits: Tensor) -> float:
    """Compute how unsure a network is on average.

    The entropy -sum p log p of each pixel's class probabilities, in nats,
    averaged over pixels: 0 where all are certain, log K where all are even.

    Args:
        logits: Class scores (N, K, h, w).
    """
    logs = logits.float().log_softmax(1)
    return -(logs.exp() * logs).sum(1).mean().item()


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


class MeanIoU:
    """Mean IoU over classes, at the size of the class scores.

    Args:
        num_classes: Classes K.
    """

    def __init__(self, num_classes: int) -> None:
        self.counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count the pixels of images.

        Args:
            logits: Class scores (N, K, h, w).
            labels: True classes (N, h, w) int64; values outside 0..K-1 are
                left out.
        """
        size = len(self.counts)
        is_class = (labels >= 0) & (labels < size)
        pairs = labels[is_class] * size + logits.argmax(1)[is_class]
        counts = torch.bincount(pairs, minlength=size**2).cpu()
        self.counts += counts.view(size, size)

    def compute(self) -> float:
        """Compute it in percent, without classes in neither map."""
        hits = self.counts.diagonal().double()
        union = self.counts.sum(0) + self.counts.sum(1) - hits
        return 100 * (hits[union > 0] / union[union > 0]).mean().item()
