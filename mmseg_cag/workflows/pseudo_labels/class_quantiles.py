# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from mmengine.dist import all_reduce

# legend: K classes, H W image

# Non-negative floats sort like their bits. Those below 2 have 30 bits; each
# pass over the pixels fixes half of them.
DIGIT = 15
PASSES = 2


class ClassQuantiles:
    """Exact order statistics by class in constant memory.

    The wanted confidence of a class is found digit by digit, from the upper
    bits of a float32 down: a pass counts, by their next digit, the pixels that
    share the digits found so far. Counts of several ranks are summed.

    .. code:: text

       for each of the PASSES:  add() every image, then narrow()

    Args:
        num_classes: Classes K.
        portion: Selects the element at index round(portion * n) of a class's n
            ascending confidences, halves rounded to even; 0.5 is the median,
            the upper one of two.

    Source: the thresholds of BDL's SSL.py, which sorts all pixels.
    """

    def __init__(self, num_classes: int, portion: float = 0.5) -> None:
        self.portion = portion
        self.counts = np.zeros((num_classes, 2**DIGIT), np.int64)
        self.sizes: np.ndarray | None = None
        self._ranks: np.ndarray | None = None
        self._found = np.zeros(num_classes, np.uint32)
        self._shift = DIGIT * (PASSES - 1)

    def add(self, labels: np.ndarray, confidences: np.ndarray) -> None:
        """Count the pixels of an image.

        Args:
            labels: Predicted classes (H, W), uint8.
            confidences: Their confidences (H, W), float32 in [0, 2).
        """
        labels, bits = labels.ravel(), confidences.ravel().view(np.uint32)
        candidates = bits >> (self._shift + DIGIT) == self._found[labels]
        digits = (bits[candidates] >> self._shift) & (2**DIGIT - 1)
        cells = labels[candidates].astype(np.int64) << DIGIT | digits
        np.add.at(self.counts.reshape(-1), cells, 1)

    def narrow(self) -> None:
        """Fix one more digit, by the counts of all ranks."""
        all_reduce(torch.from_numpy(self.counts))
        if self.sizes is None:
            self.sizes = self.counts.sum(1)
            ranks = np.round(self.portion * self.sizes).astype(np.int64)
            self._ranks = ranks.clip(max=self.sizes - 1)
        up_to = self.counts.cumsum(1)
        digits = (up_to <= self._ranks[:, None]).sum(1)
        # Padded, so that the count below the first digit is 0.
        below = np.pad(up_to, ((0, 0), (1, 0)))
        self._ranks = self._ranks - below[np.arange(len(digits)), digits]
        self._found = self._found << DIGIT | digits.astype(np.uint32)
        self._shift -= DIGIT
        self.counts[:] = 0

    @property
    def values(self) -> np.ndarray:
        """Return confidences (K,) float32; 0 for classes without pixels."""
        return self._found.view(np.float32)


def class_quantiles(
    predictions: Iterable[tuple[np.ndarray, np.ndarray]],
    num_classes: int,
    portion: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the wanted confidence of each class.

    Args:
        predictions: Labels (H, W) uint8 and confidences (H, W) float32 of each
            image of this rank; iterated once per pass, always with equal
            values.
        num_classes: Classes K.
        portion: As in `ClassQuantiles`.

    Returns:
        Confidences (K,) float32 and, over all ranks, pixels (K,) int64.
    """
    quantiles = ClassQuantiles(num_classes, portion)
    for _ in range(PASSES):
        for labels, confidences in predictions:
            quantiles.add(labels, confidences)
        quantiles.narrow()
    return quantiles.values, quantiles.sizes
