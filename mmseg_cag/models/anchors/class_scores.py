# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmseg.models.utils import resize
from torch import Tensor

from .anchor_bank import AnchorBank, smallest_two

# legend: N images, K classes, C feature channels, h w feature map, H W image

SCORES = ('anchor', 'probability', 'both')


class ClassScores:
    """Class scores of pixels from anchors, the classifier, or both.

    Args:
        bank: The anchors.
        nearness: Weight of the distances relative to the classifier's scores.
            align_corners: That of the network's head.
    """

    def __init__(
        self, bank: AnchorBank, nearness: float, align_corners: bool
    ) -> None:
        self.bank = bank
        self.nearness = nearness
        self.align_corners = align_corners

    def __call__(self, feat: Tensor, logits: Tensor, by: str) -> Tensor:
        """Compute scores; larger is more likely.

        Args:
            feat: Features (N, C, h, w).
            logits: The classifier's scores (N, K, H, W), possibly resized.
            by: ``anchor``: negative distances; ``probability``: classifier
                scores; ``both``: their sum, whose softmax is the product of
                two probabilities.

        Returns:
            (N, K, H, W) float32; not finite for classes without an anchor.
        """
        logits = logits.float()
        if by == 'probability':
            return logits
        distances = self._distances(feat, logits.shape[-2:])
        if by == 'anchor':
            return -distances
        return logits - self.nearness * distances

    def _distances(self, feat: Tensor, size: torch.Size) -> Tensor:
        """Resize squared distances; their differences are linear in f."""
        distances = self.bank.distances(feat)
        if feat.shape[-2:] == size:
            return distances
        absent = (self.bank.counts == 0)[:, None, None]
        squares = resize(
            # Interpolation would spread infinities to neighbours.
            distances.square_().masked_fill_(absent, 0),
            size,
            mode='bilinear',
            align_corners=self.align_corners,
        )
        return squares.masked_fill_(absent, torch.inf).sqrt_()


def best_two(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Find the best class (N, ...) int64 and its lead (N, ...)."""
    label, best, second = smallest_two(-scores)
    return label, second - best
