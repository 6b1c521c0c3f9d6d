# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from torch import Tensor

# legend: N images, K classes, H W image


def online_pseudo_labels(
    logits: Tensor,
    threshold: float,
    top: int = 0,
    bottom: int = 0,
    trusted: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Label each pixel; weigh all by the share of confident ones.

    Args:
        logits: Class scores (N, K, H, W) of the teacher, at the size of the
            image.
        threshold: Probability from which a pixel is confident.
        top: Rows at the top that are not trusted: their weight is 0.
        bottom: Rows at the bottom, likewise.
        trusted: Pixels whose weight stays, bool (N, H, W); None for all.

    Returns:
        Labels (N, H, W) int64, and weights (N, H, W) float32. The share is of
        the whole batch, and counts pixels that are not trusted, too.

    Source: DACS Sec. 3.2 and DAFormer Eq. 4, as released; HRDA as released
    (pixels that are not trusted).
    """
    confidence, labels = logits.float().softmax(1).max(1)
    share = (confidence >= threshold).float().mean()
    weight = share.expand(labels.shape).clone()
    weight[:, :top] = 0
    weight[:, labels.shape[1] - bottom :] = 0
    if trusted is not None:
        weight = weight.masked_fill(~trusted, 0)
    return labels, weight
