# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_cag.errors import UserError

from .anchor_bank import AnchorBank
from .class_means import RunningClassMeans

# legend: D domains, N images, K classes, C feature channels, h w feature map


@MODELS.register_module()
class DomainAnchorBank(AnchorBank):
    """Category anchors of each source of a `DomainPool`, and of all jointly.

    The distance to a class is the distance to the nearest of its D anchors, so
    the source that looks most like the target labels it. ``anchors`` are the
    weighted means over the domains: the distance loss pulls features of all
    domains to them.

    Args:
        domains: Names of the members of the pool.
        num_classes: Classes K.
        channels: Feature channels C.
        **kwargs: Arguments of `AnchorBank`.
    """

    def __init__(
        self,
        domains: Sequence[str],
        num_classes: int,
        channels: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, channels, **kwargs)
        self.domains = list(domains)
        rows = len(self.domains) * num_classes
        self.register_buffer('domain_anchors', torch.zeros(rows, channels))
        self.register_buffer('domain_counts', torch.zeros(rows))

    def kept(self) -> tuple[Tensor, Tensor]:
        """Anchors (D K, C) and counts (D K,), domain by domain."""
        return self.domain_anchors, self.domain_counts

    def rows_of(self, labels: Tensor, domains: Sequence[str | None]) -> Tensor:
        """Find the row of `kept` for each label (N, h, w) of a class.

        Raises:
            UserError: An image's domain is not in the bank.
        """
        for name in domains:
            if name not in self.domains:
                raise UserError(
                    f'model.anchor_bank.domains: has no {name}, of which '
                    'source images are, expected the members of the '
                    'DomainPool of train_dataloader and anchor_dataloader'
                )
        count = len(self.anchors)
        first = [self.domains.index(name) * count for name in domains]
        first = torch.tensor(first).to(labels.device, non_blocking=True)
        is_class = (labels >= 0) & (labels < count)
        return (labels + first[:, None, None]).where(is_class, -1)

    def store(self, centroids: RunningClassMeans) -> None:
        """Store the running means as anchors, per domain and jointly."""
        self.domain_anchors.copy_(centroids.means)
        self.domain_counts.copy_(centroids.weights)
        shape = len(self.domains), -1
        counts = self.domain_counts.unflatten(0, shape)
        means = self.domain_anchors.unflatten(0, shape)
        total = counts.sum(0)
        share = counts / total.clamp(min=torch.finfo(counts.dtype).tiny)
        self.anchors.copy_((share[:, :, None] * means).sum(0))
        self.counts.copy_(total)

    def _squares(self, feat: Tensor) -> Iterator[Tensor]:
        for squares in super()._squares(feat):
            yield squares.unflatten(1, (len(self.domains), -1)).amin(1)
