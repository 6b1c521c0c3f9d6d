# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn


def at_least_float32(values: Tensor) -> Tensor:
    """Cast half precision to float32, as autocast does for known losses."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


SOURCE, TARGET = 0, 1


@MODELS.register_module()
class AdversarialLoss(nn.Module):
    """GAN loss, cross entropy or least squares, for a domain label.

    Domains are 0 (source) and 1 (target).

    Args:
        least_squares: Whether to use least squares; else binary cross entropy
            on logits.
        pixel_weights: Coefficients (a, b) of a weight map w, if given: a
            pixel's term is multiplied by a + b w. CLAN has 0.4 and 40 (GTA5)
            or 10 (SYNTHIA).

    Source: AdaptSegNet, Sec. 4.1, and its option ``--gan``; CLAN, Sec. 3.3.
    """

    def __init__(
        self,
        least_squares: bool = False,
        pixel_weights: tuple[float, float] = (0.4, 40.0),
    ) -> None:
        super().__init__()
        self.least_squares = least_squares
        self.pixel_weights = pixel_weights

    def forward(
        self, scores: Tensor, domain: int, weight_map: Tensor | None = None
    ) -> Tensor:
        """Average the loss over the map.

        Args:
            scores: The discriminator's output (N, 1, h, w).
            domain: Domain label, `SOURCE` or `TARGET`.
            weight_map: Weights w (N, 1, h, w) of the pixels.
        """
        scores = at_least_float32(scores)
        if self.least_squares:
            losses = (scores - domain).square()
        else:
            # Binary cross entropy with a constant label.
            losses = F.softplus((1 - 2 * domain) * scores)
        if weight_map is not None:
            base, slope = self.pixel_weights
            losses = losses * (base + slope * weight_map)
        return losses.mean()
