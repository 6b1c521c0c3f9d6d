# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch.nn.functional as F
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.models.channel_norm import ChannelNorm

# legend: N images, C channels, h w feature map


@MODELS.register_module()
class FeatureAlignment(nn.Module):
    """Alignment loss of projected features with another encoder's.

    A learned projection maps the student's features to the other encoder's, so
    that the student retains its knowledge in its own channels. Per pixel the
    loss is ``huber`` times the mean smooth L1 distance over channels plus (1 -
    ``huber``) times (1 - cosine).

    Args:
        in_channels: Channels of the student's features.
        out_channels: Channels of the other encoder's.
        huber: Weight of the smooth L1 distance.
        loss_weight: Weight of the loss.

    Source: VFM-UDA++, Englert et al., 2025, as released.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        huber: float = 0.1,
        loss_weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.huber = huber
        self.loss_weight = loss_weight
        self.projection = nn.Sequential(
            nn.Conv2d(in_channels, 4 * in_channels, 1),
            ChannelNorm(4 * in_channels, eps=1e-6),
            nn.GELU(),
            nn.Conv2d(4 * in_channels, out_channels, 1),
        )

    def forward(self, features: Tensor, others: Tensor) -> Tensor:
        """Compute the weighted loss.

        Args:
            features: The student's features (N, C, h, w).
            others: The other encoder's, of any size; detached.
        """
        projected = self.project(features, others).float()
        others = others.detach().float()
        distance = F.smooth_l1_loss(projected, others)
        cosine = F.cosine_similarity(projected, others, dim=1).mean()
        loss = self.huber * distance + (1 - self.huber) * (1 - cosine)
        return self.loss_weight * loss

    def project(self, features: Tensor, others: Tensor) -> Tensor:
        """Project features to the other encoder's channels and size."""
        return resize(
            self.projection(features),
            others.shape[-2:],
            mode='bilinear',
            align_corners=False,
        )
