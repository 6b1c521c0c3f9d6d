# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_cag.models.anchors.pseudo_label_head import nearest_anchor
from mmseg_cag.models.segmentors.base import resize_labels

# legend: K classes, C feature channels, P pixels, B bins, N images,
# h w feature map


def anchor_distances(anchors: Tensor, counts: Tensor) -> Tensor:
    """Compute the Euclidean distances between anchors.

    Args:
        anchors: Anchors (K, C).
        counts: What each is a mean of (K,); 0 where there is no anchor.

    Returns:
        (K, K) float64, infinite from and to a class without an anchor.
    """
    distances = torch.cdist(anchors.double()[None], anchors.double()[None])[0]
    absent = counts == 0
    return distances.masked_fill(absent[:, None] | absent, float('inf'))


def gap_edges(distances: Tensor, bins: int) -> Tensor | None:
    """Choose edges of bins that hold every gap that can occur.

    By the triangle inequality a pixel's gap, from its nearest anchor to the
    runner-up, is at most the distance from that anchor to its own nearest
    neighbour.

    Args:
        distances: Distances between anchors (K, K).
        bins: Number of bins B.

    Returns:
        Edges (B + 1,) from 0; None where there are not two anchors.
    """
    others = distances.clone().fill_diagonal_(float('inf'))
    neighbours = others.min(1).values
    neighbours = neighbours[neighbours.isfinite()]
    if not len(neighbours):
        return None
    return torch.linspace(
        0, neighbours.max().item(), bins + 1, device=distances.device
    )


def count_gaps(
    gap: Tensor, label: Tensor, edges: Tensor, num_classes: int
) -> Tensor:
    """Count pixels by class and gap.

    Args:
        gap: Gaps (P,).
        label: The nearest anchor's class (P,) int64.
        edges: Edges of the bins (B + 1,).
        num_classes: Classes K.

    Returns:
        (K, B) int64; a gap on the last edge is in the last bin.
    """
    bins = len(edges) - 1
    # The inner edges alone: what rounding puts outside is in an outer bin.
    index = torch.bucketize(gap, edges[1:-1].to(gap.dtype), right=True)
    flat = torch.bincount(label * bins + index, minlength=num_classes * bins)
    return flat.view(num_classes, bins)


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
    if 'teacher' not in maps:
        return {'predicted': _by_class(student, num_classes)}
    candidates = maps['teacher'].argmax(1)
    # A teacher of two views labels at the size of the images.
    student = resize_labels(student, candidates)
    counts = {'predicted': _by_class(student, num_classes)}
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


def count_labels(samples: Sequence[SegDataSample], like: Tensor) -> Tensor:
    """Count the labelled pixels of samples by class.

    Args:
        samples: Samples with labels.
        like: Other counts (K,), whose device and classes these get.
    """
    total = torch.zeros_like(like)
    for sample in samples:
        labels = sample.gt_sem_seg.data.to(like.device)
        total += _by_class(labels, len(like))
    return total


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


DIGITS = 6  # of shares: a millionth is less than a pixel of a crop


def target_record(
    counts: dict[str, Tensor], classes: Sequence[str]
) -> dict[str, float | dict[str, float]]:
    """Turn counts of the target's pixels into shares of them.

    Args:
        counts: As `count_target` makes them.
        classes: Names of the K classes.

    Returns:
        ``predicted``: share of pixels that the student predicts, by class.
        With a teacher ``agreement``, ``active`` (both of all pixels),
        ``kappa`` (Cohen's: how much of the agreement beyond chance there is),
        ``followed`` (of active pixels), ``pseudo`` (of active pixels, by
        class), and ``coverage``, by class the share of the pixels that may
        get it which do. A share of no pixels is left out.
    """
    pixels = counts['predicted'].sum()
    record = {'predicted': shares_of(counts['predicted'], classes)}
    if 'active' not in counts:
        return record
    active = counts['active'].sum()
    record['active'] = _share(active, pixels)
    record['agreement'] = _share(counts['agree'], pixels)
    if (kappa := cohens_kappa(counts)) is not None:
        record['kappa'] = kappa
    if active:
        record['followed'] = _share(counts['followed'], active)
    record['coverage'] = {
        name: _share(own, candidates)
        for name, own, candidates in zip(
            classes, counts['active'], counts['candidates'], strict=True
        )
        if candidates
    }
    record['pseudo'] = shares_of(counts['active'], classes)
    return record


def cohens_kappa(counts: dict[str, Tensor]) -> float | None:
    """Compute how far student and teacher agree beyond chance.

    1 where they always agree and 0 where no more than two who draw classes
    by their own shares at random, such as a student that predicts one class.

    Args:
        counts: ``predicted`` and ``teacher`` (K,), ``agree`` ().

    Returns:
        (p - e) / (1 - e) of the share p of pixels that agree and the share e
        that would by chance; None where both know the same single class.

    Source: Cohen, A coefficient of agreement for nominal scales, 1960.
    """
    shares = [
        counts[name].double() / counts[name].sum()
        for name in ('predicted', 'teacher')
    ]
    chance = (shares[0] * shares[1]).sum().item()
    agreement = (counts['agree'] / counts['predicted'].sum()).item()
    if chance == 1:
        return None
    return round((agreement - chance) / (1 - chance), DIGITS)


def gap_record(
    gaps: Tensor, edges: Tensor, classes: Sequence[str]
) -> dict[str, list | dict]:
    """Write counts of gaps (K, B) with their edges (B + 1,) and classes."""
    return {
        'edges': [round(edge, DIGITS) for edge in edges.tolist()],
        'counts': dict(zip(classes, gaps.tolist(), strict=True)),
    }


def margin_record(
    margin: Tensor, classes: Sequence[str]
) -> float | dict[str, float | None] | None:
    """Write a margin (K,): one number if it is one, else one a class.

    Where it is infinite there is None: nothing is assigned.
    """
    values = [m if m < float('inf') else None for m in margin.tolist()]
    if len(set(values)) == 1:
        return values[0]
    return dict(zip(classes, values, strict=True))


def _share(part: Tensor, whole: Tensor) -> float:
    return round(part.item() / whole.item(), DIGITS)


def shares_of(parts: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Turn counts (K,) into shares of their sum, by class; none of 0."""
    whole = parts.sum()
    if not whole:
        return {}
    return {
        name: _share(part, whole)
        for name, part in zip(classes, parts, strict=True)
    }
