# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a labeler assigns, computed from its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mmseg_cag.models.heads.pseudo_label_head import nearest_anchor
from mmseg_cag.models.segmentors import CAGSegmentor
from mmseg_cag.models.segmentors.uda import View, forward_view

# legend: K classes, h w feature map


@dataclass
class Activity:
    """Which share of the target is labelled, by class of the labeler.

    Attributes:
        stage: The stage that learns from these labels.
        unit: What says how sure a label is, such as `distance`.
        seen: Pixels (K,) that are nearest to the class.
        active: Pixels (K,) of them that are labelled.
        sureness: Sum (K,) over all of them of how sure the labeler is.
        threshold: Sureness (K,) from which a pixel is active.
        images: On how many images.
    """

    stage: int
    unit: str
    threshold: np.ndarray
    seen: np.ndarray = field(init=False)
    active: np.ndarray = field(init=False)
    sureness: np.ndarray = field(init=False)
    images: int = 0

    def __post_init__(self) -> None:
        self.seen, self.active, self.sureness = np.zeros(
            (3, len(self.threshold))
        )

    def add(self, nearest: Tensor, labels: Tensor, sure: Tensor) -> None:
        """Count an image's maps (h, w)."""
        size = len(self.threshold)
        nearest, sure = nearest.flatten().cpu(), sure.flatten().cpu()
        finite = sure.isfinite()
        is_active = (labels.flatten().cpu() == nearest) & finite
        self.seen += np.bincount(nearest[finite], minlength=size)
        self.active += np.bincount(nearest[is_active], minlength=size)
        self.sureness += np.bincount(
            nearest[finite], sure[finite], minlength=size
        )
        self.images += 1

    @property
    def share(self) -> float:
        """Share of all pixels that are active."""
        return float(self.active.sum() / max(self.seen.sum(), 1))


class Labeler:
    """The frozen labeler of a checkpoint of CAG.

    Args:
        model: The checkpoint's segmentor.
    """

    def __init__(self, model: CAGSegmentor) -> None:
        self.model = model
        head = model.pseudo_label_head
        self.by = head.by[0]
        if self.by == 'anchor':
            threshold = head.margin.cpu().double().numpy()
        else:
            threshold = np.full(len(head.margin), head.probability)
        self.activity = Activity(int(model.stage), UNITS[self.by], threshold)

    @torch.no_grad()
    def label(self, batch: dict) -> np.ndarray:
        """Label an image and count it.

        Args:
            batch: One target image as a data loader collates it.

        Returns:
            Labels (h, w) uint8.
        """
        batch = self.model.data_preprocessor(batch)
        parts = self.model.labeler
        neck = parts['neck'] if 'neck' in parts else None
        view = forward_view(
            parts['backbone'], neck, parts['decode_head'], batch['inputs']
        )
        nearest, sure, labels = (m[0] for m in self._assign(view))
        self.activity.add(nearest, labels, sure)
        return labels.to(torch.uint8).cpu().numpy()

    def _assign(self, view: View) -> tuple[Tensor, Tensor, Tensor]:
        head = self.model.pseudo_label_head
        if self.by == 'anchor':
            distances = self.model.anchor_bank.distances(view.feat)
            return *nearest_anchor(distances), head.by_anchor(distances)
        sure, nearest = view.logits.float().softmax(1).max(1)
        return nearest, sure, head.by_probability(view.logits)


UNITS = {
    'anchor': 'distance from the nearest anchor to the runner-up',
    'probability': 'probability of the likeliest class',
}


def find_labeler(model: torch.nn.Module) -> Labeler | None:
    """Make the labeler of a model, if it is of a method that has one."""
    if isinstance(model, CAGSegmentor) and int(model.stage):
        return Labeler(model)
    return None
