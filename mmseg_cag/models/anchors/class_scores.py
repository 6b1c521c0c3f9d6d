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

    def __call__(
        self,
        feat: Tensor,
        logits: Tensor,
        by: str,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Compute scores: the larger the likelier.

        Args:
            feat: Features (N, C, h, w).
            logits: The classifier's scores (N, K, h, w).
            by: ``anchor``: the distance, negative; ``probability``: the
                classifier's; ``both``: their sum, so that the softmax of it
                is the product of two probabilities.
            size: Height and width of the result; None for (h, w).

        Returns:
            (N, K, H, W) float32; by anchors not finite for a class without.
        """
        logits = self._resize(logits.float(), size)
        if by == 'probability':
            return logits
        nearness = -self._distances(feat, size)
        if by == 'anchor':
            return nearness
        return logits + self.nearness * nearness

    def _distances(self, feat: Tensor, size: tuple[int, int] | None) -> Tensor:
        """Resize squared distances, whose differences are linear in f."""
        squares = self.bank.distances(feat).square_()
        absent = (self.bank.counts == 0)[:, None, None]
        # What is infinite would spoil its neighbours.
        squares = self._resize(squares.masked_fill(absent, 0), size)
        return squares.masked_fill(absent, torch.inf).sqrt_()

    def _resize(self, maps: Tensor, size: tuple[int, int] | None) -> Tensor:
        if size is None:
            return maps
        return resize(
            maps, size, mode='bilinear', align_corners=self.align_corners
        )


def best_two(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Find the best class (N, ...) int64 and how far ahead it is (N, ...)."""
    label, best, second = smallest_two(-scores)
    return label, second - best
