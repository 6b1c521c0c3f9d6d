# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import require_one_of
from mmseg_cag.models.anchors.anchor_bank import AnchorBank

from .head_loss import pixel_count

# legend: N images, K classes, M anchors per class, C channels, h w feature map

KINDS = ('infonce', 'distance')


@MODELS.register_module()
class AnchorAlignmentLoss(nn.Module):
    """Pull features to the anchors of their class, one or several per class.

    ``infonce`` is the negative log of the own class's share of exp(cosine /
    temperature), summed over all anchors; ``distance`` is the Euclidean
    distance to the nearest anchor of the own class, which is CAG's loss for
    one anchor per class.

    Args:
        kind: ``infonce`` or ``distance``.
        temperature: Temperature of ``infonce``.
        loss_weight: Weight of the loss.

    Raises:
        UserError: The kind is unknown.

    Source: InfoNCE, van den Oord et al., 2018, Eq. 4; CAG Sec. 3.4.
    """

    def __init__(
        self,
        kind: str = 'infonce',
        temperature: float = 0.1,
        loss_weight: float = 0.1,
    ) -> None:
        super().__init__()
        require_one_of('model.alignment.kind', kind, KINDS)
        self.kind = kind
        self.temperature = temperature
        self.loss_weight = loss_weight

    def forward(
        self,
        bank: AnchorBank,
        per_class: int,
        feat: Tensor,
        labels: Tensor,
        absent: Tensor | None = None,
    ) -> Tensor:
        """Compute the weighted mean over pixels whose class has an anchor.

        Args:
            bank: K M anchors, grouped by class.
            per_class: Anchors M per class.
            feat: Features (N, C, h, w).
            labels: Labels (N, h, w) int64; values outside 0..K-1 are ignored.
            absent: Classes that cannot occur in a pixel's label, bool (N, K,
                h, w): ``infonce`` does not push features away from their
                anchors.
        """
        present = (bank.counts > 0).unflatten(0, (-1, per_class))
        is_class = (labels >= 0) & (labels < len(present))
        labels = labels.where(is_class, 0)
        counted = is_class & present.any(1)[labels]
        given = bank.anchors, present, feat.float(), labels
        if self.kind == 'infonce':
            loss = self._infonce(*given, absent)
        else:
            loss = self._distance(*given)
        total = loss.masked_fill(~counted, 0).sum()
        return self.loss_weight * total / pixel_count(counted, loss)

    def _infonce(
        self,
        anchors: Tensor,
        present: Tensor,
        feat: Tensor,
        labels: Tensor,
        absent: Tensor | None,
    ) -> Tensor:
        anchors = F.normalize(anchors, dim=1)[:, :, None, None]
        cosine = F.conv2d(F.normalize(feat, dim=1), anchors)
        scores = cosine.unflatten(1, present.shape) / self.temperature
        left_out = ~present[:, :, None, None]
        if absent is not None:
            left_out = left_out | absent[:, :, None]
        # Finite: a class without an anchor would give NaN gradients.
        scores = scores.masked_fill(left_out, torch.finfo(scores.dtype).min)
        by_class = scores.logsumexp(2)
        own = by_class.gather(1, labels[:, None])[:, 0]
        return by_class.logsumexp(1) - own

    def _distance(
        self, anchors: Tensor, present: Tensor, feat: Tensor, labels: Tensor
    ) -> Tensor:
        rows = feat.movedim(1, -1)
        own = anchors.unflatten(0, present.shape)
        nearest = torch.zeros_like(labels)
        with torch.no_grad():
            best = torch.full_like(rows[..., 0], torch.inf)
            for m in range(present.shape[1]):
                gap = torch.linalg.vector_norm(rows - own[labels, m], dim=-1)
                gap = gap.masked_fill(~present[labels, m], torch.inf)
                nearest = nearest.where(gap >= best, m)
                best = torch.minimum(gap, best)
        return torch.linalg.vector_norm(rows - own[labels, nearest], dim=-1)
