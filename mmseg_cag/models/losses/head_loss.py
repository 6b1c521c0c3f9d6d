# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_cag.errors import UserError

# legend: N images, K classes, H W image, h w feature map

# Score of an excluded class: its probability is 0 in any precision.
NEVER = -1e4


def head_loss(
    head: BaseDecodeHead,
    scores: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    absent: Tensor | None = None,
) -> dict[str, Tensor]:
    """Compute a head's own losses and its accuracy in percent.

    Equal to mmseg's ``loss_by_feat``, which synchronises with the device
    several times. A head that overrides it keeps its own; one with
    ``pixel_losses``, as `HRDAHead`, receives all its scores.

    Args:
        head: The head.
        scores: Its class scores (N, K, h, w).
        labels: Labels (N, H, W) int64.
        weight: Weights of the pixels (N, H, W), multiplied with those of the
            head's sampler.
        absent: Classes that cannot occur in a pixel's label, bool (N, K, H,
            W); excluded from the softmax.

    Raises:
        UserError: There are weights or absent classes, but the head overrides
            the loss.
    """
    if hasattr(head, 'pixel_losses'):
        return head.pixel_losses(scores, labels, weight, absent)
    if type(head).loss_by_feat is not BaseDecodeHead.loss_by_feat:
        if weight is not None or absent is not None:
            raise UserError(
                f'{type(head).__name__} overrides loss_by_feat, which takes '
                'neither pixel weights nor absent classes; expected a head '
                "with mmseg's loss_by_feat"
            )
        return head.loss_by_feat(scores, _as_samples(labels))
    scores = resize_as(head, scores, labels.shape[-2:])
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


def resize_as(head: nn.Module, maps: Tensor, size: torch.Size) -> Tensor:
    """Resize maps (N, C, h, w) to a size as a decode head does."""
    return F.interpolate(
        maps, size, mode='bilinear', align_corners=head.align_corners
    )


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
    """Apply an mmseg loss to the pixels that are not ignored.

    Cross entropy is averaged over the labelled pixels of all ranks, with a
    count that stays on the device.

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
            # Flatten to rows of pixels: otherwise torch reorders the scores
            # and their gradient, in twice the time.
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
    """Compute the percentage of correct pixels, without ignored ones."""
    counted = labels != ignore_index
    right = (scores.argmax(1) == labels) & counted
    return 100 * right.sum() / counted.sum().clamp(min=1)


def pixel_count(counted: Tensor, like: Tensor) -> Tensor:
    """Compute the divisor of a summed loss, on the device.

    The mean count over ranks, not the rank's own: gradients are averaged over
    ranks, so the loss is the mean over all ranks' images, as if one process
    had them in one batch.

    Args:
        counted: Elements that count, bool of any shape.
        like: Tensor that gives the dtype, but at least float32.

    Returns:
        Positive scalar: as for one pixel if nothing counts on any rank.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    count = counted.sum().to(dtype)
    all_reduce(count, op='mean')
    return count.clamp(min=1 / get_world_size())
