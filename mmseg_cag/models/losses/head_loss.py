# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_cag.errors import UserError

# legend: N images, K classes, H W image, h w feature map

# Score of a class that is left out: its probability is 0 in any precision.
NEVER = -1e4


def head_loss(
    head: BaseDecodeHead,
    scores: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    absent: Tensor | None = None,
) -> dict[str, Tensor]:
    """Compute a head's own losses and its accuracy in percent.

    They are those of mmseg's ``loss_by_feat``, which waits for the device
    several times. A head that has another one keeps it; one with
    ``pixel_losses`` takes all its scores, as `HRDAHead`.

    Args:
        head: The head.
        scores: Its class scores (N, K, h, w).
        labels: Labels (N, H, W) int64.
        weight: Weights of the pixels (N, H, W); those of the head's own
            sampler are multiplied by them.
        absent: Classes that the labels of a pixel cannot have, bool
            (N, K, H, W): they are left out of the softmax.

    Raises:
        UserError: There are weights or such classes, and the head has a loss
            of its own.
    """
    if hasattr(head, 'pixel_losses'):
        return head.pixel_losses(scores, labels, weight, absent)
    if type(head).loss_by_feat is not BaseDecodeHead.loss_by_feat:
        if weight is not None or absent is not None:
            raise UserError(
                f'{type(head).__name__} has its own loss_by_feat, which takes '
                'no weights of pixels and no absent classes; expected a head '
                'with that of mmseg'
            )
        return head.loss_by_feat(scores, _as_samples(labels))
    scores = resize(
        scores,
        labels.shape[-2:],
        mode='bilinear',
        align_corners=head.align_corners,
        warning=False,
    )
    if absent is not None:
        scores = scores.masked_fill(absent, NEVER)
    if head.sampler is not None:
        sampled = head.sampler.sample(scores, labels.unsqueeze(1))
        weight = sampled if weight is None else sampled * weight
    terms = head.loss_decode
    losses: dict[str, Tensor] = {}
    for term in terms if isinstance(terms, nn.ModuleList) else [terms]:
        loss = pixel_loss(
            term, scores, labels, head.ignore_index, weight=weight
        )
        losses[term.loss_name] = losses.get(term.loss_name, 0) + loss
    losses['acc_seg'] = accuracy(scores, labels, head.ignore_index)
    return losses


def _as_samples(labels: Tensor) -> list[SegDataSample]:
    return [
        SegDataSample(gt_sem_seg=PixelData(data=own.unsqueeze(0)))
        for own in labels
    ]


def pixel_loss(
    loss: nn.Module,
    scores: Tensor,
    labels: Tensor,
    ignore_index: int,
    weight: Tensor | None = None,
) -> Tensor:
    """Apply a loss of mmseg to the pixels that are not ignored.

    Cross entropy over labelled pixels is averaged over those of all ranks, by
    a count that stays on the device.

    Args:
        loss: The loss.
        scores: Class scores (N, K, H, W).
        labels: Labels (N, H, W) int64.
        ignore_index: Label that does not count.
        weight: Weights of the pixels (N, H, W).
    """
    if (
        isinstance(loss, CrossEntropyLoss)
        and not (loss.use_sigmoid or loss.use_mask)
        and loss.avg_non_ignore
        and loss.reduction == 'mean'
        and loss.class_weight is None
    ):
        count = pixel_count(labels != ignore_index, scores)
        if scores.is_contiguous(memory_format=torch.channels_last):
            # Rows of pixels: torch reorders the scores otherwise, and so
            # their gradient, which takes twice the time.
            scores = scores.permute(0, 2, 3, 1).flatten(0, 2)
            labels, weight = labels.flatten(), _flatten(weight)
        total = loss(
            scores,
            labels,
            weight=weight,
            ignore_index=ignore_index,
            reduction_override='sum',
        )
        return total / count
    return loss(scores, labels, weight=weight, ignore_index=ignore_index)


def _flatten(weight: Tensor | None) -> Tensor | None:
    return None if weight is None else weight.flatten()


def accuracy(scores: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """Compute the percentage of right pixels among those not ignored."""
    counted = labels != ignore_index
    right = (scores.argmax(1) == labels) & counted
    return 100 * right.sum() / counted.sum().clamp(min=1)


def pixel_count(counted: Tensor, like: Tensor) -> Tensor:
    """Count what the sum of a loss is divided by, on the device.

    The mean over ranks, not a rank's own number: gradients are averaged over
    ranks, and so the loss is the mean over what counts in the images of all
    of them, as if one process had them in one batch.

    Args:
        counted: What counts, bool of any shape.
        like: Tensor of whose dtype, but at least float32, the count is.

    Returns:
        Positive scalar: where nothing counts on any rank it is that of one
        pixel.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    count = counted.sum().to(dtype)
    all_reduce(count, op='mean')
    return count.clamp(min=1 / get_world_size())
