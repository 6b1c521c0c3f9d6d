# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from torch import Tensor

# legend: N images, K classes, h w score map


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
