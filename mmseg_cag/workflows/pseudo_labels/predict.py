# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor

from mmseg_cag.errors import UserError

# legend: K classes, H W image, h w feature map


@torch.no_grad()
def predict(model: EncoderDecoder, batch: dict) -> tuple[Tensor, Tensor]:
    """Predict an image's classes and how probable they are.

    Probabilities (1, K, h, w) are enlarged, not class scores: that is what
    the published thresholds are of.

    Args:
        model: The network, in evaluation mode.
        batch: One image as a data loader collates it.

    Returns:
        Classes (H, W) uint8 and probabilities (H, W) float32, at the size at
        which the network sees the image.

    Raises:
        UserError: The head gives no map of K class scores, or one that is not
            finite.

    Source: BDL's SSL.py.
    """
    batch = model.data_preprocessor(batch)
    [sample] = batch['data_samples']
    head = model.decode_head
    logits = head(model.extract_feat(batch['inputs']))
    if not isinstance(logits, Tensor) or logits.size(1) != head.num_classes:
        raise UserError(
            f'model.decode_head: {type(head).__name__} gives no map of '
            f'{head.num_classes} class scores, which pseudo labels need'
        )
    probabilities = F.interpolate(
        logits.float().softmax(1),
        batch['inputs'].shape[-2:],
        mode='bilinear',
        align_corners=head.align_corners,
    )
    # Without what the preprocessor may have padded.
    height, width = sample.img_shape[:2]
    confidences, labels = probabilities[0, :, :height, :width].max(0)
    if not confidences.isfinite().all():
        raise UserError(f'{sample.img_path}: the prediction is not finite')
    return labels.to(torch.uint8), confidences
