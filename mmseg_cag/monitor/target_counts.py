# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from torch import Tensor

from mmseg_cag.models.anchors.pseudo_label_head import nearest_anchor

from .gap_bins import count_gaps

# legend: N images, K classes, h w feature map, B bins


def count_target(
    maps: dict[str, Tensor], num_classes: int, edges: Tensor | None
) -> dict[str, Tensor]:
    """Count the target's pixels of a step.

    Args:
        maps: What the segmentor showed of the step: ``student`` and, of a
            method with a teacher, ``teacher``, both scores (N, K, h, w);
            ``distances`` to the anchors (N, K, h, w); pseudo labels
            ``anchor`` and ``probability`` (N, h, w) int64.
        num_classes: Classes K.
        edges: Edges of the bins (B + 1,) of the gaps.

    Returns:
        Counts int64 by name. ``predicted`` (K,): by the student. With a
        teacher ``teacher`` (K,), what that predicts, ``agree`` (), pixels
        where both predict the same, and of the pseudo labels (those by
        anchors, if there are, else those by probability) ``candidates`` (K,),
        the class that a pixel may get, ``active`` (K,), the one that it gets,
        and ``followed`` (), active pixels where the student predicts it. With
        edges ``gaps`` (K, B).
    """
    student = maps['student'].argmax(1)
    counts = {'predicted': _by_class(student, num_classes)}
    if 'teacher' not in maps:
        return counts
    candidates = maps['teacher'].argmax(1)
    counts['teacher'] = _by_class(candidates, num_classes)
    counts['agree'] = (student == candidates).sum()
    if 'distances' in maps:
        candidates, gap = nearest_anchor(maps['distances'])
        if edges is not None:
            counts['gaps'] = count_gaps(
                gap.flatten(), candidates.flatten(), edges, num_classes
            )
    labels = maps.get('anchor', maps.get('probability'))
    counts['candidates'] = _by_class(candidates, num_classes)
    counts['active'] = _by_class(labels, num_classes)
    counts['followed'] = (student == labels).sum()
    return counts


def sum_over_ranks(counts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the counts of all ranks in one exchange; all get the sums."""
    flat = torch.cat([count.flatten() for count in counts.values()])
    all_reduce(flat)
    parts = flat.split([count.numel() for count in counts.values()])
    return {
        name: part.view_as(count).cpu()
        for (name, count), part in zip(counts.items(), parts, strict=True)
    }


def _by_class(labels: Tensor, num_classes: int) -> Tensor:
    is_class = (labels >= 0) & (labels < num_classes)
    return torch.bincount(labels[is_class], minlength=num_classes)
