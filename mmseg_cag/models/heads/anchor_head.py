# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.anchor_bank import AnchorBank
from mmseg_cag.models.anchors.arithmetic import full_float32
from mmseg_cag.models.anchors.class_means import (
    class_feature_sums,
    k_means,
    whitening,
)
from mmseg_cag.models.anchors.pseudo_label_head import (
    PixelSampler,
    PseudoLabelHead,
)

# legend: N images, K classes, M anchors per class, C feature channels, H W
# label, h w feature map

# Distance to a class without an anchor; finite, because scores are
# interpolated.
FAR = 1e6


@MODELS.register_module()
class AnchorHead(BaseDecodeHead):
    """Label each pixel by the nearest anchor of a frozen encoder.

    Nothing is trained: ``tools/fit_anchors.py`` computes the anchors, and the
    margin of pseudo labels, from source pixels. Scores are the negative
    distances to the nearest anchor of each class.
    ``input_transform='resize_concat'`` joins several maps.

    Args:
        num_classes: Classes K.
        per_class: Anchors M per class: the mean for 1, else k-means.
        unit_length: Whether to normalise features to length 1.
        whiten: Whether to use Mahalanobis distances with the within-class
            covariance.
        precision: Target precision of labels on the source, for the margin.
        sample: Number of source pixels for everything but the means.
        **kwargs: Arguments of `BaseDecodeHead`; neither ``channels`` nor
            ``dropout_ratio``.
    """

    def __init__(
        self,
        num_classes: int,
        per_class: int = 1,
        unit_length: bool = False,
        whiten: bool = False,
        precision: float = 0.95,
        sample: int = 50_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            channels=1,
            num_classes=num_classes,
            dropout_ratio=0,
            init_cfg=None,
            **kwargs,
        )
        # The anchors are the classifier.
        del self.conv_seg
        self.per_class = per_class
        self.unit_length = unit_length
        self.whiten = whiten
        self.sample = sample
        width = self.in_channels
        self.anchor_bank = AnchorBank(num_classes * per_class, width)
        self.pseudo_label_head = PseudoLabelHead(
            num_classes, margin='auto', precision=precision
        )
        if whiten:
            self.register_buffer('transform', torch.eye(width))

    def features(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute the features for distances (N, C, h, w), float32."""
        feat = self._transform_inputs(inputs).float()
        return F.normalize(feat, dim=1) if self.unit_length else feat

    def distances(self, feat: Tensor) -> Tensor:
        """Compute the distances (N, K, h, w) to the nearest anchors.

        Args:
            feat: Of `features` (N, C, h, w).
        """
        return self._by_anchor(feat).amin(2)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute scores (N, K, h, w) of the maps of a backbone."""
        return -self.distances(self.features(inputs))

    def pseudo_labels(self, inputs: Sequence[Tensor]) -> Tensor:
        """Label (N, h, w) pixels that reach the margin; others are 255."""
        distances = self.distances(self.features(inputs))
        return self.pseudo_label_head.by_anchor(distances)

    def loss(self, *args: Any, **kwargs: Any) -> dict:
        """Raise an error: there is nothing to train."""
        raise UserError(
            'AnchorHead: there is nothing to train, tools/fit_anchors.py '
            'makes the anchors'
        )

    @torch.no_grad()
    def fit(
        self,
        batches: Callable[[], Iterable[tuple[Sequence[Tensor], Tensor]]],
        images: int,
    ) -> None:
        """Compute the anchors and the margin in two passes over the source.

        The first samples pixels for k-means, covariance and margin; the second
        computes exact means of all pixels over all ranks.

        Args:
            batches: Starts a pass that yields maps of a backbone and labels
                (N, H, W) int64.
            images: Images in a pass, over all ranks.
        """
        bank, classes = self.anchor_bank, self.num_classes
        like = bank.anchors[:classes]
        sampler = PixelSampler(self.sample, images, like)
        for inputs, labels in batches():
            feat = self.features(inputs)
            sampler.add(feat, labels_at(labels, feat))
        feat, labels = sampler.gather()
        if self.whiten:
            self.transform.copy_(whitening(feat, labels, classes))
        self._begin(self._whitened(feat[:, :, None, None])[..., 0, 0], labels)
        means = bank.new_centroids()
        for inputs, truth in batches():
            own = self.features(inputs)
            near = self._nearest_own(own, labels_at(truth, own))
            sums, counts = class_feature_sums(
                self._whitened(own), near, len(bank.anchors)
            )
            means.add(sums, counts, counts)
        means.reduce()
        bank.store(means)
        distances = self.distances(feat[:, :, None, None])[..., 0, 0]
        self.pseudo_label_head.calibrate(distances, labels)

    def _begin(self, feat: Tensor, labels: Tensor) -> None:
        """Initialise anchors from sampled pixels (P, C) and labels (P,)."""
        bank = self.anchor_bank
        bank.counts.zero_()
        generator = torch.Generator().manual_seed(0)
        for k in labels.unique().tolist():
            own = k_means(feat[labels == k], self.per_class, generator)
            start = k * self.per_class
            bank.anchors[start : start + len(own)] = own
            bank.counts[start : start + len(own)] = 1

    def _nearest_own(self, feat: Tensor, labels: Tensor) -> Tensor:
        """Index the nearest anchor of each pixel's class, -1 for none."""
        is_class = (labels >= 0) & (labels < self.num_classes)
        own = labels.where(is_class, 0)
        if self.per_class > 1:
            index = own[:, None, None].expand(-1, 1, self.per_class, -1, -1)
            nearest = self._by_anchor(feat).gather(1, index).argmin(2)
            own = own * self.per_class + nearest[:, 0]
        return own.where(is_class, -1)

    def _by_anchor(self, feat: Tensor) -> Tensor:
        """Compute the distances (N, K, M, h, w), at most `FAR`."""
        feat, bank = self._whitened(feat), self.anchor_bank
        norms = bank.anchors.square().sum(1)
        norms = norms.masked_fill(bank.counts == 0, FAR**2)
        weight = -2 * bank.anchors[:, :, None, None]
        with full_float32(feat.device.type):
            # |f|^2 - 2 f a + |a|^2 of the whole map, which exporters can
            # trace.
            squares = F.conv2d(feat, weight, norms)
            squares = squares + feat.square().sum(1, keepdim=True)
        distances = squares.clamp(min=0, max=FAR**2).sqrt()
        return distances.unflatten(1, (self.num_classes, self.per_class))

    def _whitened(self, feat: Tensor) -> Tensor:
        if not self.whiten:
            return feat
        with full_float32(feat.device.type):
            return F.conv2d(feat, self.transform[:, :, None, None])


def labels_at(labels: Tensor, feat: Tensor) -> Tensor:
    """Resize labels (N, H, W) to the size of a map (N, C, h, w)."""
    labels = F.interpolate(labels[:, None].float(), feat.shape[-2:])
    return labels[:, 0].long()


def require_anchors(network: nn.Module, num_classes: int) -> None:
    """Check that a network has an `AnchorHead` with these classes.

    Raises:
        UserError: It does not.
    """
    head = network.decode_head
    if not isinstance(head, AnchorHead):
        raise UserError(
            f'model.foreign.decode_head.type={type(head).__name__}, expected '
            'AnchorHead'
        )
    if head.num_classes != num_classes:
        raise UserError(
            f'model.foreign.decode_head.num_classes={head.num_classes}, '
            f"expected {num_classes}, the student's"
        )
