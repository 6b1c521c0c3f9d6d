# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import UserError, require_share

from .head_loss import pixel_count

# legend: N images, K classes, C channels, H W image, h w feature map


@MODELS.register_module()
class FeatureDistance(nn.Module):
    """Feature distance on thing classes to another network (DAFormer FD).

    The mean distance between the features of both networks over cells of thing
    classes; 0 if there are none.

    Args:
        num_classes: Classes K.
        things: Indices of thing classes; None for all.
        share: Minimum share of a cell's pixels to assign a class.
        loss_weight: Weight of the loss.
        ignore_index: Label to ignore.
        cell: Side of a cell in pixels; labels are first resized to whole cells
            (nearest). None keeps their size.

    Source: DAFormer Eqs. 7 to 10, as released; VFM-UDA as released (cells
        of 14 pixels).

    Raises:
        UserError: The share is not in 0..1, there are no things, or one is no
            class.
    """

    def __init__(
        self,
        num_classes: int,
        things: Sequence[int] | None = None,
        share: float = 0.75,
        loss_weight: float = 0.005,
        ignore_index: int = 255,
        cell: int | None = None,
    ) -> None:
        super().__init__()
        require_share('FeatureDistance: share', share)
        chosen = range(num_classes) if things is None else list(things)
        if not chosen or not {*chosen} <= {*range(num_classes)}:
            raise UserError(
                f'model.feature_distance.things={chosen}, expected indices of '
                f'classes in 0..{num_classes - 1}, or None for all'
            )
        self.cell = cell
        self.num_classes = num_classes
        self.share = share
        self.loss_weight = loss_weight
        self.ignore_index = ignore_index
        counts = torch.zeros(ignore_index + 1, dtype=torch.bool)
        counts[list(chosen)] = True
        self.register_buffer('is_thing', counts, persistent=False)

    def mask(self, labels: Tensor, size: tuple[int, int]) -> Tensor:
        """Find cells (N, h, w) of thing classes in labels (N, H, W)."""
        if self.cell is not None:
            sides = [self.cell * side for side in size]
            labels = F.interpolate(labels[:, None].float(), sides)[:, 0].long()
        small = majority_labels(
            labels, size, self.num_classes, self.share, self.ignore_index
        )
        return self.is_thing[small]

    def forward(
        self, features: Tensor, others: Tensor | None, labels: Tensor
    ) -> Tensor:
        """Compute the weighted distance.

        Args:
            features: The student's features (N, C, h, w).
            others: The other network's, or None if no image has a thing.
            labels: Labels (N, H, W) int64.
        """
        mask = self.mask(labels, features.shape[-2:])
        # On every rank, because the mean is over all ranks.
        count = pixel_count(mask, features)
        if others is None:
            return count.new_zeros(())
        # Squares overflow in half precision.
        difference = features.float() - others.float()
        distance = torch.linalg.vector_norm(difference, dim=1)
        distance = distance.masked_fill(~mask, 0)
        return self.loss_weight * distance.sum() / count


def majority_labels(
    labels: Tensor,
    size: tuple[int, int],
    num_classes: int,
    share: float = 0.75,
    ignore_index: int = 255,
) -> Tensor:
    """Downscale labels to a feature map by majority vote in each cell.

    Void pixels vote, too. The winner, or the lowest class in a tie, needs at
    least ``share`` of the votes. Incomplete cells at the border are padded
    with void.

    Args:
        labels: (N, H, W) int64, in 0..K-1 or ``ignore_index``.
        size: h and w.
        num_classes: Classes K.
        share: Minimum share of the winning class.
        ignore_index: Label of void.

    Returns:
        (N, h, w) int64; void where no class reaches the share.

    Source: DAFormer as released (``downscale_label_ratio``).
    """
    sides = [
        -(-old // new)
        for old, new in zip(labels.shape[-2:], size, strict=True)
    ]
    (height, width), (rows, columns) = size, sides
    bottom = height * rows - labels.shape[-2]
    right = width * columns - labels.shape[-1]
    votes = labels.where(labels != ignore_index, num_classes)
    votes = F.pad(votes, (0, right, 0, bottom), value=num_classes)
    cells = votes.view(-1, height, rows, width, columns).transpose(2, 3)
    cells = cells.reshape(-1, rows * columns)
    counts = cells.new_zeros(len(cells), num_classes + 1, dtype=torch.float32)
    ones = torch.ones_like(cells, dtype=torch.float32)
    counts.scatter_add_(1, cells, ones)
    most, winner = counts.max(1)
    void = (winner == num_classes) | (most < share * rows * columns)
    winner = winner.masked_fill(void, ignore_index)
    return winner.view(-1, height, width)
