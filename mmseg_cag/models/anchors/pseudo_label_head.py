# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.dist import all_gather_object
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import require_share

from .anchor_bank import smallest_two
from .unknown import UnknownPixels

# legend: N images, P sampled pixels, C feature channels,
# K classes, h w feature map


@MODELS.register_module()
class PseudoLabelHead(nn.Module):
    """Active target instances (ATI) and their pseudo labels (PLA).

    A target pixel is active where its nearest anchor is nearer than the
    runner-up by at least the margin, and takes that anchor's class (CAG Sec.
    3.2). The alternative labels are those of self-training: the most likely
    class where its probability exceeds a threshold.

    Args:
        num_classes: Classes K.
        by: Kinds of labels the cross entropy is averaged over: ``anchor``,
            ``probability`` or both, as released.
        margin: Minimum gap between nearest and runner-up, in feature units;
            ``auto`` chooses it in `calibrate` with the anchors.
        precision: Target precision of the labels on the source (``auto``
            only).
        per_class: Whether each class gets its own margin (``auto`` only).
        probability: Threshold of the probability, exceeded strictly.
        ignore_index: Label of inactive pixels.
        unknown_quantile: Share of a class's source pixels that lie within its
            limit; pixels farther from the anchor get no label of either kind.
            None for no limit.

    Raises:
        ValueError: ``by`` is empty or holds an unknown kind, the margin is
            neither a number nor ``auto``, or a share is not in 0..1.
    """

    def __init__(
        self,
        num_classes: int,
        by: Sequence[str] = ('anchor',),
        margin: float | str = 2.5,
        precision: float = 0.95,
        per_class: bool = False,
        probability: float = 0.95,
        ignore_index: int = 255,
        unknown_quantile: float | None = None,
    ) -> None:
        super().__init__()
        if not by or set(by) - {'anchor', 'probability'}:
            raise ValueError(
                f"PseudoLabelHead: by={by}, expected 'anchor', 'probability' "
                'or both'
            )
        self.is_auto = margin == 'auto'
        if not self.is_auto and not isinstance(margin, int | float):
            raise ValueError(
                f'PseudoLabelHead: margin={margin!r}, expected a number or '
                "'auto'"
            )
        require_share('PseudoLabelHead: precision', precision)
        require_share('PseudoLabelHead: probability', probability)
        self.by = tuple(by)
        self.precision = precision
        self.per_class = per_class
        self.probability = probability
        self.ignore_index = ignore_index
        # Infinite until calibrated: nothing is assigned by mistake.
        start = float('inf') if self.is_auto else float(margin)
        margin = torch.full((num_classes,), start)
        # A number is the config's; only a chosen one is state.
        self.register_buffer('margin', margin, persistent=self.is_auto)
        self.unknown = None
        if unknown_quantile is not None:
            self.unknown = UnknownPixels(num_classes, unknown_quantile)

    @property
    def needs_source(self) -> bool:
        """Whether `calibrate` has anything to do."""
        return self.is_auto or self.unknown is not None

    @property
    def is_calibrated(self) -> bool:
        """Whether any class has what `calibrate` finds."""
        has_margin = not self.is_auto or self.margin.isfinite().any()
        return bool(has_margin) and (
            self.unknown is None or self.unknown.has_limits
        )

    @torch.no_grad()
    def calibrate(self, distances: Tensor, labels: Tensor) -> None:
        """Calibrate the margin and the limits on labelled source pixels.

        The margin is the smallest at which nearest-anchor labels reach the
        target precision, over all classes or for each assigned class.

        Args:
            distances: Distances to the anchors (P, K).
            labels: True classes (P,) int64.
        """
        if self.unknown is not None:
            self.unknown.calibrate(distances, labels)
        if not self.is_auto:
            return
        label, gap = nearest_anchor(distances)
        correct = label == labels
        if not self.per_class:
            self.margin.fill_(smallest_margin(gap, correct, self.precision))
            return
        for k in range(len(self.margin)):
            own = label == k
            self.margin[k] = smallest_margin(
                gap[own], correct[own], self.precision
            )

    def by_anchor(self, distances: Tensor) -> Tensor:
        """Assign the nearest anchor's class to active pixels.

        Args:
            distances: Distances to the anchors (N, K, h, w).

        Returns:
            Labels (N, h, w) int64, ``ignore_index`` where inactive.
        """
        labels = self.by_gap(*nearest_anchor(distances))
        return self.hide_unknown(labels, distances)

    def hide_unknown(self, labels: Tensor, distances: Tensor) -> Tensor:
        """Ignore the labels (N, h, w) of pixels of no known class.

        Args:
            labels: Labels of any kind, int64.
            distances: Distances to the anchors (N, K, h, w).
        """
        if self.unknown is None:
            return labels
        return labels.masked_fill(self.unknown(distances), self.ignore_index)

    def by_gap(self, label: Tensor, gap: Tensor) -> Tensor:
        """Assign the nearest anchor's class to active pixels by their gap.

        Args:
            label: Class of the nearest anchor (N, h, w) int64.
            gap: Distance from nearest to runner-up (N, h, w).

        Returns:
            Labels (N, h, w) int64, ``ignore_index`` where inactive.
        """
        return label.where(gap >= self.margin[label], self.ignore_index)

    def weigh(
        self, labels: Tensor, best: Tensor, gap: Tensor, partly: bool = False
    ) -> Tensor:
        """Weight labels instead of dropping inactive ones.

        Args:
            labels: Labels (N, h, w) int64.
            best: Best class of each pixel, likewise.
            gap: Its lead over the runner-up (N, h, w); NaN counts as 0.
            partly: Whether a gap below the margin counts as its share of the
                margin.

        Returns:
            (N, h, w): 1 where the label is the best class by at least the
            margin; else 0 or, with ``partly``, a share.
        """
        share = gap / self.margin[best].clamp(min=1e-6)
        if not partly:
            share = (share >= 1).to(share)
        return share.clamp(max=1).nan_to_num().where(labels == best, 0)

    def by_probability(self, logits: Tensor) -> Tensor:
        """Assign the most likely class to confident pixels.

        Args:
            logits: Class scores (N, K, h, w).

        Returns:
            Labels (N, h, w) int64, ``ignore_index`` where not confident.
        """
        confidence, label = logits.float().softmax(1).max(1)
        return label.where(confidence > self.probability, self.ignore_index)


def nearest_anchor(distances: Tensor) -> tuple[Tensor, Tensor]:
    """Find the nearest anchor and the gap to the runner-up.

    Args:
        distances: Distances to the anchors (N, K, ...).

    Returns:
        Class of the nearest (N, ...) int64 and the gap (N, ...).
    """
    label, nearest, runner_up = smallest_two(distances.clone())
    return label, runner_up - nearest


def smallest_margin(gaps: Tensor, correct: Tensor, precision: float) -> float:
    """Find the smallest margin that reaches a label precision.

    Args:
        gaps: Gap between nearest and runner-up anchor of each pixel (P,).
        correct: Whether the nearest anchor's class is correct (P,) bool.
        precision: Required share of correct pixels among those whose gap is
            at least the margin.

    Returns:
        The smallest such gap; infinite if there is none, so that nothing is
        assigned.
    """
    gaps, order = gaps.sort(descending=True)
    right = correct[order].cumsum(0).double()
    share = right / torch.arange(1, len(gaps) + 1, device=gaps.device)
    # Pixels with equal gaps are active together: test the last of a run.
    last = torch.ones_like(correct)
    last[:-1] = gaps[:-1] != gaps[1:]
    good = (share >= precision) & last
    return gaps[good].min().item() if good.any() else float('inf')


class PixelSampler:
    """Evenly spaced sample of labelled pixels from one pass over a dataset.

    Takes about ``size`` pixels over all ranks, the same share of each batch at
    a regular stride, without randomness. Memory does not grow with the number
    of images, until there are more of them than ``size``.

    Args:
        size: Approximate number of pixels P.
        num_images: Images in the pass, over all ranks.
        like: Tensor (K, C) that gives classes, channels and device.
    """

    def __init__(self, size: int, num_images: int, like: Tensor) -> None:
        self.per_image = -(-size // num_images)
        self.num_classes = len(like)
        # A rank without an image has an empty sample.
        self._feat = [like.new_empty(0, like.shape[1])]
        self._labels = [like.new_empty(0, dtype=torch.int64)]

    def add(self, feat: Tensor, labels: Tensor) -> None:
        """Add pixels of a batch.

        Args:
            feat: Features (N, C, h, w).
            labels: Labels (N, h, w) int64; values outside 0..K-1 are ignored.
        """
        is_class = (labels >= 0) & (labels < self.num_classes)
        pixels = is_class.flatten().nonzero().squeeze(1)
        stride = max(1, len(pixels) // (self.per_image * len(feat)))
        pixels = pixels[stride // 2 :: stride]
        self._feat.append(
            feat.movedim(1, -1).flatten(0, 2)[pixels].to(self._feat[0])
        )
        self._labels.append(labels.flatten()[pixels])

    def gather(self) -> tuple[Tensor, Tensor]:
        """Join features (P, C) and labels (P,) of all ranks."""
        own = torch.cat(self._feat).cpu(), torch.cat(self._labels).cpu()
        feats, labels = zip(*all_gather_object(own), strict=True)
        device = self._feat[0].device
        return torch.cat(feats).to(device), torch.cat(labels).to(device)
