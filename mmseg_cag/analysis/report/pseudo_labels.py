# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a labeler assigns, computed from its checkpoint."""

from __future__ import annotations

import numpy as np

from mmseg_cag.analysis.runs.labeler import Assigned
from mmseg_cag.models.anchors.pseudo_label_head import PseudoLabelHead

# legend: K classes, h w feature map

UNITS = {
    'anchor': 'gap between the two nearest anchors',
    'probability': 'probability of the likeliest class',
}


class Activity:
    """Which share of the target is labelled, by class of the labeler.

    Args:
        head: That of the labeler, whose first kind of label is counted.

    Attributes:
        kind: Of the labels.
        unit: What says how sure a label is, such as `distance`.
        threshold: Sureness (K,) from which a pixel is active.
        seen: Pixels (K,) that are nearest to the class.
        active: Pixels (K,) of them that are labelled.
        images: On how many images.
    """

    def __init__(self, head: PseudoLabelHead) -> None:
        self.kind = head.by[0]
        self.unit = UNITS[self.kind]
        if self.kind == 'anchor':
            self.threshold = head.margin.cpu().double().numpy()
        else:
            self.threshold = np.full(len(head.margin), head.probability)
        self.seen, self.active = np.zeros((2, len(self.threshold)))
        self.images = 0

    def add(self, found: Assigned) -> np.ndarray:
        """Count an image's labels; returns them (h, w) uint8."""
        size = len(self.threshold)
        finite = np.isfinite(found.score)
        active = found.active & finite
        self.seen += np.bincount(found.label[finite], minlength=size)
        self.active += np.bincount(found.label[active], minlength=size)
        self.images += 1
        return np.where(found.active, found.label, 255).astype(np.uint8)

    @property
    def share(self) -> float:
        """Share of all pixels that are active."""
        return float(self.active.sum() / max(self.seen.sum(), 1))
