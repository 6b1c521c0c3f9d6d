# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmseg.models.utils import resize
from torch import Tensor

from .anchor_bank import AnchorBank, smallest_two

# legend: N images, K classes, C feature channels, h w feature map, H W image

SCORES = ('anchor', 'probability', 'both')


class ClassScores:
    """What classes of pixels are told by: anchors, a classifier, or both.

    Args:
        bank: The anchors.
        nearness: Weight of the distances beside the classifier's scores.
        align_corners: As of the network's head.
    """

    def __init__(
        self, bank: AnchorBank, nearness: float, align_corners: bool
    ) -> None:
        self.bank = bank
        self.nearness = nearness
        self.align_corners = align_corners

    def __call__(self, feat: Tensor, logits: Tensor, by: str) -> Tensor:
        """Compute scores: the larger the likelier.

        Args:
            feat: Features (N, C, h, w).
            logits: The classifier's scores (N, K, H, W), maybe resized.
            by: ``anchor``: the distance, negative; ``probability``: the
                classifier's; ``both``: their sum, so that the softmax of it
                is the product of two probabilities.

        Returns:
            (N, K, H, W) float32; by anchors not finite for a class without.
        """
        logits = logits.float()
        if by == 'probability':
            return logits
        distances = self._distances(feat, logits.shape[-2:])
        if by == 'anchor':
            return -distances
        return logits - self.nearness * distances

    def _distances(self, feat: Tensor, size: torch.Size) -> Tensor:
        """Resize squared distances, whose differences are linear in f."""
        distances = self.bank.distances(feat)
        if feat.shape[-2:] == size:
            return distances
        absent = (self.bank.counts == 0)[:, None, None]
        squares = resize(
            # What is infinite would spoil its neighbours.
            distances.square_().masked_fill_(absent, 0),
            size,
            mode='bilinear',
            align_corners=self.align_corners,
        )
        return squares.masked_fill_(absent, torch.inf).sqrt_()


def best_two(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Find the best class (N, ...) int64 and how far ahead it is (N, ...)."""
    label, best, second = smallest_two(-scores)
    return label, second - best
