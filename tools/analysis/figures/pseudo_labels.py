# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Coverage and precision of pseudo labels by anchors and probability."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mmseg_cag.analysis.evaluate import confusion
from mmseg_cag.analysis.runs.labeling_network import (
    KINDS,
    Assigned,
    LabelingNetwork,
)
from mmseg_cag.analysis.runs.samples import Sample
from mmseg_cag.models.segmentors.base import resize_labels

VOID = 255

# legend: K classes, h w feature map, P pixels


class Maps(NamedTuple):
    """The labels of an image, at the size of the feature map (h, w).

    Attributes:
        truth: Its true classes; values outside 0..K-1 are void. All are void
            for an image without labels.
        kinds: Pseudo labels by kind, one of `KINDS`.
    """

    truth: np.ndarray
    kinds: dict[str, Assigned]


def label_image(
    teacher: LabelingNetwork, preprocessor: nn.Module, sample: Sample
) -> Maps:
    """Pseudo-label a target image in both ways.

    Args:
        teacher: Network that labels.
        preprocessor: Normalises target images.
        sample: The image with its ground truth, for display only.
    """
    seen = teacher.see(preprocessor, sample)
    if sample.has_truth:
        truth = resize_labels(sample.truth[None], seen.feat)[0].numpy()
    else:
        truth = np.full(seen.feat.shape[-2:], VOID)
    return Maps(truth, {kind: teacher.assign(seen, kind) for kind in KINDS})


def join(maps: Iterable[Maps], num_classes: int) -> Maps:
    """Concatenate the non-void pixels (P,) of images.

    Args:
        maps: The images.
        num_classes: Classes K.
    """
    kept = [(m, (m.truth >= 0) & (m.truth < num_classes)) for m in maps]
    truth = np.concatenate([m.truth[is_class] for m, is_class in kept])
    kinds = {
        kind: Assigned(
            *(
                np.concatenate([m.kinds[kind][i][c] for m, c in kept])
                for i in range(len(Assigned._fields))
            )
        )
        for kind in KINDS
    }
    return Maps(truth, kinds)


def shares_by_class(
    truth: np.ndarray, found: Assigned, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the coverage and precision of pseudo labels by class.

    Args:
        truth: True classes (P,).
        found: The labels (P,).
        num_classes: Classes K.

    Returns:
        Coverage (K,), the share of each class's pixels that are labelled, NaN
        for a class without pixels; and precision (K,), the share of each
        class's labels that are correct, NaN for a class without labels.
    """
    label = np.where(found.active, found.label, num_classes)
    counts = confusion(
        torch.from_numpy(truth), torch.from_numpy(label), num_classes
    ).numpy()
    assigned = counts[:, :-1]
    with np.errstate(invalid='ignore'):
        return (
            assigned.sum(1) / counts.sum(1),
            assigned.diagonal() / assigned.sum(0),
        )


def precision_coverage(
    score: np.ndarray, right: np.ndarray, points: int = 400
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the precision-coverage curve over all thresholds.

    Args:
        score: Confidence of each pixel's label (P,).
        right: Whether the label is correct (P,) bool.
        points: Maximum number of points of the curve.

    Returns:
        Coverage and precision, ascending in coverage: the share of pixels at
        or above a score, and the share of these that is correct.
    """
    order = np.argsort(-score, kind='stable')
    ordered = score[order]
    # Pixels of equal score are labelled together: keep the last of a run.
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    count = last + 1
    precision = np.cumsum(right[order])[last] / count
    chosen = np.linspace(0, len(count) - 1, min(points, len(count)), dtype=int)
    return count[chosen] / len(score), precision[chosen]
