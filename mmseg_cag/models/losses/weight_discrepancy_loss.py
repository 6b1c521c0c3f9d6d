# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class WeightDiscrepancyLoss(nn.Module):
    """Weight discrepancy loss: cosine similarity of two classifiers.

    factor (cos(W1, W2) + 1), where W is the vector of all parameters of a
    classifier, including biases.

    Args:
        factor: Constant factor as released.
        loss_weight: Weight of the loss.
        loss_name: Key of the loss in the log.

    Source: CLAN, Sec. 3.3, weight discrepancy loss.
    """

    def __init__(
        self,
        factor: float = 2.0,
        loss_weight: float = 0.01,
        loss_name: str = 'loss_weight',
    ) -> None:
        super().__init__()
        self.factor = factor
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, first: nn.Module, second: nn.Module) -> Tensor:
        """Compute the weighted loss of two modules of the same shape."""
        one, two = (
            torch.cat([p.flatten() for p in module.parameters()])
            for module in (first, second)
        )
        # A sum of products, since autocast runs `@` in half precision.
        cosine = (one * two).sum() / (one.norm() * two.norm())
        return self.loss_weight * self.factor * (cosine + 1)
