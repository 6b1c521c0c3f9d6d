# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mmseg_cag.models.anchors.anchor_bank import AnchorBank
from mmseg_cag.models.anchors.pseudo_label_head import PseudoLabelHead
from mmseg_cag.models.losses.anchor_distance_loss import AnchorDistanceLoss

# legend: N images, K classes, C feature channels, h w feature map

# Side of the single-class squares in random labels, in pixels.
BLOCK = 8


@dataclass
class Maps:
    """Inputs of a domain's anchor operations, as in a step.

    Attributes:
        bank: Anchors of K classes and C channels.
        head: Makes labels from anchors.
        feat: Features (N, C, h, w) that require a gradient.
        logits: Class scores (N, K, h, w).
        labels: Labels (N, h, w) int64.
    """

    bank: AnchorBank
    head: PseudoLabelHead
    feat: Tensor
    logits: Tensor
    labels: Tensor

    @classmethod
    def draw(
        cls,
        shape: tuple[int, int, int, int],
        num_classes: int,
        device: str,
        dtype: torch.dtype = torch.float32,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> Maps:
        """Draw random maps of single-class squares around the class anchor.

        Args:
            shape: N, C, h and w.
            num_classes: Classes K.
            device: Device of the maps.
            dtype: Dtype of features and scores.
            memory_format: Memory format of features and scores.
        """
        n, c, h, w = shape
        generator = torch.Generator().manual_seed(0)
        bank = AnchorBank(num_classes, c, level='image')
        bank.anchors.normal_(std=0.5, generator=generator)
        bank.counts.fill_(1)
        blocks = torch.randint(
            num_classes, (n, -(-h // BLOCK), -(-w // BLOCK)),
            generator=generator,
        )  # fmt: skip
        labels = blocks.repeat_interleave(BLOCK, 1)[:, :h]
        labels = labels.repeat_interleave(BLOCK, 2)[..., :w].contiguous()
        noise = torch.empty(n, h, w, c).normal_(std=0.2, generator=generator)
        feat = (bank.anchors[labels] + noise).permute(0, 3, 1, 2)
        logits = torch.randn(n, num_classes, h, w, generator=generator)
        own = torch.full((n, 1, h, w), 4.0)
        logits.scatter_add_(1, labels.unsqueeze(1), own)
        feat, logits = (
            part.to(device, dtype).contiguous(memory_format=memory_format)
            for part in (feat, logits)
        )
        return cls(
            bank.to(device),
            PseudoLabelHead(num_classes).to(device),
            feat.requires_grad_(),
            logits,
            labels.to(device),
        )


@torch.no_grad()
def label(maps: Maps) -> Tensor:
    """Label by the nearest anchor (N, h, w)."""
    return maps.head.by_gap(*maps.bank.nearest(maps.feat))


def distance_loss(maps: Maps, level: str = 'centroid') -> Tensor:
    """Compute the gradient (N, C, h, w) of the distance loss."""
    loss = AnchorDistanceLoss(level)(
        maps.bank, maps.feat, maps.logits, maps.labels
    )
    return torch.autograd.grad(loss, maps.feat)[0]


@torch.no_grad()
def accumulate(maps: Maps) -> Tensor:
    """Add a batch to the running means (K, C)."""
    centroids = maps.bank.new_centroids()
    maps.bank.accumulate(centroids, maps.feat, maps.logits, maps.labels)
    return centroids.means


def operations() -> dict[str, Callable[[Maps], Tensor]]:
    """List the operations of the release, by name, and the paper's loss."""
    return {
        'pseudo labels': label,
        'distance loss': distance_loss,
        'anchors': accumulate,
        'distance loss, pixel level': partial(distance_loss, level='pixel'),
    }


def bind(
    functions: dict[str, Callable[[Maps], Tensor]], maps: Maps, suffix: str
) -> dict[str, Callable[[], Tensor]]:
    """Bind functions to their maps; the suffix tells them apart."""
    return {
        name + suffix: partial(function, maps)
        for name, function in functions.items()
    }


def floor_bytes(maps: Maps) -> dict[str, int]:
    """Compute the minimum bytes that each operation reads and writes.

    Labels and losses read features and labels once; a gradient is written,
    and at pixel level its features are read again.
    """
    feat, logits, labels = (
        part.numel() * part.element_size()
        for part in (maps.feat, maps.logits, maps.labels)
    )
    return {
        'pseudo labels': feat + labels,
        'distance loss': 2 * feat + logits + 2 * labels,
        'anchors': feat + logits + labels,
        'distance loss, pixel level': 3 * feat + 2 * labels,
    }
