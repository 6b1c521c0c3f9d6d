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
    """How far projected features are from those of another encoder.

    A learned projection leads from the ones to the others, so that the
    student keeps what the other encoder knows, in channels of its own. At
    each place the loss is ``huber`` times the mean smooth L1 distance of the
    channels, and the rest of 1 times what the cosine lacks to 1.

    Args:
        in_channels: Of the student's features.
        out_channels: Of the other encoder's.
        huber: Share of the smooth L1 distance.
        loss_weight: Of the loss.

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
            features: Of the student (N, C, h, w).
            others: Of the other encoder, of any size; no gradient comes to
                them.
        """
        projected = self.project(features, others).float()
        others = others.detach().float()
        distance = F.smooth_l1_loss(projected, others)
        cosine = F.cosine_similarity(projected, others, dim=1).mean()
        loss = self.huber * distance + (1 - self.huber) * (1 - cosine)
        return self.loss_weight * loss

    def project(self, features: Tensor, others: Tensor) -> Tensor:
        """Bring features to the other encoder's channels and size."""
        return resize(
            self.projection(features),
            others.shape[-2:],
            mode='bilinear',
            align_corners=False,
        )
