# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

# legend: N images, K classes, h w feature map


@MODELS.register_module()
class PseudoLabelHead(nn.Module):
    """Active target instances (ATI) and their pseudo labels (PLA).

    A target pixel is active where its nearest anchor is nearer than the
    runner-up by at least the margin, and takes that anchor's class (CAG Sec.
    3.2). Beside it stand the labels of self-training: the likeliest class
    where its probability exceeds a threshold.

    Args:
        num_classes: Classes K.
        by: Which labels the cross entropy is averaged over, out of
            ``anchor`` and ``probability``; the release uses both.
        margin: Distance from nearest to runner-up, in units of the features.
        probability: Threshold of the probability, exceeded strictly.
        ignore_index: Label of inactive pixels.

    Raises:
        ValueError: ``by`` is empty or holds an unknown kind.
    """

    def __init__(
        self,
        num_classes: int,
        by: Sequence[str] = ('anchor',),
        margin: float = 2.5,
        probability: float = 0.95,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        if not by or set(by) - {'anchor', 'probability'}:
            raise ValueError(
                f"PseudoLabelHead: by={by}, expected 'anchor', 'probability' "
                'or both'
            )
        self.by = tuple(by)
        self.probability = probability
        self.ignore_index = ignore_index
        self.register_buffer('margin', torch.full((num_classes,), margin))

    def by_anchor(self, distances: Tensor) -> Tensor:
        """Assign the nearest anchor's class to active pixels.

        Args:
            distances: Distances to the anchors (N, K, h, w).

        Returns:
            Labels (N, h, w) int64, ``ignore_index`` where inactive.
        """
        nearest = distances.topk(2, dim=1, largest=False)
        label = nearest.indices[:, 0]
        gap = nearest.values[:, 1] - nearest.values[:, 0]
        return label.where(gap >= self.margin[label], self.ignore_index)

    def by_probability(self, logits: Tensor) -> Tensor:
        """Assign the likeliest class to confident pixels.

        Args:
            logits: Class scores (N, K, h, w).

        Returns:
            Labels (N, h, w) int64, ``ignore_index`` where not confident.
        """
        confidence, label = logits.float().softmax(1).max(1)
        return label.where(confidence > self.probability, self.ignore_index)
