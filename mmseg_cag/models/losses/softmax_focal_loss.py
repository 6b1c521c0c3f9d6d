# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math

from mmseg.registry import MODELS
from torch import Tensor, nn

from .adversarial_loss import at_least_float32
from .head_loss import pixel_count

# legend: N images, K classes, H W image


@MODELS.register_module()
class SoftmaxFocalLoss(nn.Module):
    """Softmax focal loss: cross entropy weighted by (1 - p) ** gamma.

    p is the softmax probability of the pixel's class, clamped at ``eps``;
    clamped pixels have no gradient, as released. (mmseg's ``FocalLoss`` uses a
    sigmoid per class.)

    Args:
        gamma: Exponent; 0 gives the cross entropy.
        eps: Smallest probability.
        loss_weight: Weight of the loss.
        loss_name: Key of the loss in the log.

    Source: the segmentation loss of CLAN as released.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        eps: float = 1e-9,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_focal',
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.eps = eps
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
    ) -> Tensor:
        """Average over the labelled pixels of all ranks; 0 without any.

        Args:
            cls_score: Class scores (N, K, H, W).
            label: Labels (N, H, W) int64.
            weight: Weights (N, H, W) of the pixels, from mmseg's samplers.
            ignore_index: Label that does not count.
        """
        valid = label != ignore_index
        index = label.where(valid, 0).unsqueeze(1)
        cls_score = at_least_float32(cls_score)
        log_p = cls_score.log_softmax(1).gather(1, index).squeeze(1)
        log_p = log_p.clamp(min=math.log(self.eps))
        losses = -((1 - log_p.exp()) ** self.gamma) * log_p
        if weight is not None:
            losses = losses * weight
        total = losses.where(valid, 0).sum()
        return self.loss_weight * total / pixel_count(valid, total)
