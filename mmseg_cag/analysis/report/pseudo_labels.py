# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a labeler assigns, computed from its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from mmseg_cag.analysis.runs.labeler import Labeler
from mmseg_cag.analysis.runs.network import view
from mmseg_cag.analysis.runs.samples import Sample, preprocess
from mmseg_cag.models.anchors.pseudo_label_head import nearest_anchor
from mmseg_cag.models.segmentors.base import SegOutput

# legend: K classes, h w feature map


@dataclass
class Activity:
    """Which share of the target is labelled, by class of the labeler.

    Attributes:
        unit: What says how sure a label is, such as `distance`.
        seen: Pixels (K,) that are nearest to the class.
        active: Pixels (K,) of them that are labelled.
        threshold: Sureness (K,) from which a pixel is active.
        images: On how many images.
    """

    unit: str
    threshold: np.ndarray
    seen: np.ndarray = field(init=False)
    active: np.ndarray = field(init=False)
    images: int = 0

    def __post_init__(self) -> None:
        self.seen, self.active = np.zeros((2, len(self.threshold)))

    def add(self, nearest: Tensor, labels: Tensor, sure: Tensor) -> None:
        """Count an image's maps (h, w)."""
        size = len(self.threshold)
        nearest, sure = nearest.flatten().cpu(), sure.flatten().cpu()
        finite = sure.isfinite()
        is_active = (labels.flatten().cpu() == nearest) & finite
        self.seen += np.bincount(nearest[finite], minlength=size)
        self.active += np.bincount(nearest[is_active], minlength=size)
        self.images += 1

    @property
    def share(self) -> float:
        """Share of all pixels that are active."""
        return float(self.active.sum() / max(self.seen.sum(), 1))


class LabelCounter:
    """Counts what a labeler assigns.

    Args:
        labeler: The frozen network of a stage, with its anchors.
        preprocessor: Normalises target images.
    """

    def __init__(self, labeler: Labeler, preprocessor: nn.Module) -> None:
        self.labeler = labeler
        self.preprocessor = preprocessor
        head = labeler.head
        self.by = head.by[0]
        if self.by == 'anchor':
            threshold = head.margin.cpu().double().numpy()
        else:
            threshold = np.full(len(head.margin), head.probability)
        self.activity = Activity(UNITS[self.by], threshold)

    @torch.no_grad()
    def label(self, sample: Sample) -> np.ndarray:
        """Label a target image and count it; returns labels (h, w) uint8."""
        images = preprocess(self.preprocessor, sample)
        seen = view(self.labeler.model, images)
        nearest, sure, labels = (m[0] for m in self._assign(seen))
        self.activity.add(nearest, labels, sure)
        return labels.to(torch.uint8).cpu().numpy()

    def _assign(self, seen: SegOutput) -> tuple[Tensor, Tensor, Tensor]:
        head = self.labeler.head
        if self.by == 'anchor':
            distances = self.labeler.bank.distances(seen.feat)
            return *nearest_anchor(distances), head.by_anchor(distances)
        sure, nearest = seen.logits[0].float().softmax(1).max(1)
        return nearest, sure, head.by_probability(seen.logits[0])


UNITS = {
    'anchor': 'gap between the two nearest anchors',
    'probability': 'probability of the likeliest class',
}
