# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What anchors and probabilities label in the target, and how rightly."""

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
        truth: Its true classes; values outside 0..K-1 are void, as all are
            of an image without a label.
        kinds: By kind, of `KINDS`, those that it is given.
    """

    truth: np.ndarray
    kinds: dict[str, Assigned]


def label_image(
    teacher: LabelingNetwork, preprocessor: nn.Module, sample: Sample
) -> Maps:
    """Label a target image in both ways.

    Args:
        teacher: What labels.
        preprocessor: Normalises target images.
        sample: The image with its truth, for display only.
    """
    seen = teacher.see(preprocessor, sample)
    if sample.has_truth:
        truth = resize_labels(sample.truth[None], seen.feat)[0].numpy()
    else:
        truth = np.full(seen.feat.shape[-2:], VOID)
    return Maps(truth, {kind: teacher.assign(seen, kind) for kind in KINDS})


def join(maps: Iterable[Maps], num_classes: int) -> Maps:
    """Join the pixels (P,) of images, without void ones.

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
    """Compute how much of each class is labelled, and how rightly.

    Args:
        truth: True classes (P,).
        found: The labels (P,).
        num_classes: Classes K.

    Returns:
        Coverage (K,), the share of each class's pixels that take a label, NaN
        for a class without pixels; and precision (K,), the share of each
        class's labels that are right, NaN for a class that no pixel takes.
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
    """Compute how right the clearest pixels are, whatever the threshold.

    Args:
        score: How clear each pixel's label is (P,).
        right: Whether it is right (P,) bool.
        points: At most so many of the curve.

    Returns:
        Coverage and precision, ascending in coverage: of the pixels at or
        above a score, their share of all and the share that is right.
    """
    order = np.argsort(-score, kind='stable')
    ordered = score[order]
    # Pixels of one score are labelled together: judge the last of a run.
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    count = last + 1
    precision = np.cumsum(right[order])[last] / count
    chosen = np.linspace(0, len(count) - 1, min(points, len(count)), dtype=int)
    return count[chosen] / len(score), precision[chosen]
