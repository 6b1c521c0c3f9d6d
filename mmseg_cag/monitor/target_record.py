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
        counts: Pixel counts (K,); 0 where there is no anchor.

    Returns:
        (K, K) float64, infinite from and to a class without an anchor.
    """
    distances = torch.cdist(anchors.double()[None], anchors.double()[None])[0]
    absent = counts == 0
    return distances.masked_fill(absent[:, None] | absent, float('inf'))


def gap_edges(distances: Tensor, bins: int) -> Tensor | None:
    """Choose bin edges that cover all possible gaps.

    By the triangle inequality a pixel's gap, from its nearest anchor to the
    runner-up, is at most the distance from that anchor to its own nearest
    neighbour.

    Args:
        distances: Distances between anchors (K, K).
        bins: Number of bins B.

    Returns:
        Edges (B + 1,) from 0; None with fewer than two anchors.
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
    # Only inner edges: values that rounding puts outside go to an outer bin.
    index = torch.bucketize(gap, edges[1:-1].to(gap.dtype), right=True)
    flat = torch.bincount(label * bins + index, minlength=num_classes * bins)
    return flat.view(num_classes, bins)


def count_target(
    maps: dict[str, Tensor], num_classes: int, edges: Tensor | None
) -> dict[str, Tensor]:
    """Count a step's target pixels.

    Args:
        maps: Maps from the segmentor: ``student`` and, with a teacher,
            ``teacher``, both scores (N, K, h, w); ``distances`` to the anchors
            (N, K, h, w); pseudo labels ``anchor`` and ``probability`` (N, h,
            w) int64; ``padding`` (N, H, W) bool, which is not counted.
        num_classes: Classes K.
        edges: Edges of the bins (B + 1,) of the gaps.

    Returns:
        Counts int64 by name. ``predicted`` (K,): student predictions. With a
        teacher: ``teacher`` (K,), its predictions; ``agree`` (), pixels where
        both agree; and for pseudo labels (by anchors if available, else by
        probability) ``candidates`` (K,), labels before the threshold,
        ``active`` (K,), assigned labels, and ``followed`` (), active pixels
        where the student predicts the label. With edges: ``gaps`` (K, B).
    """

    def seen(found: Tensor) -> Tensor:
        if 'padding' not in maps:
            return found
        return found[resize_labels(maps['padding'], found) == 0]

    student = maps['student'].argmax(1)
    if 'teacher' not in maps:
        return {'predicted': _by_class(seen(student), num_classes)}
    candidates = maps['teacher'].argmax(1)
    # A teacher with a mirrored view labels at the size of the images.
    student = seen(resize_labels(student, candidates))
    candidates = seen(candidates)
    counts = {'predicted': _by_class(student, num_classes)}
    counts['teacher'] = _by_class(candidates, num_classes)
    counts['agree'] = (student == candidates).sum()
    if 'distances' in maps:
        candidates, gap = map(seen, nearest_anchor(maps['distances']))
        if edges is not None:
            counts['gaps'] = count_gaps(
                gap.flatten(), candidates.flatten(), edges, num_classes
            )
    labels = seen(maps.get('anchor', maps.get('probability')))
    counts['candidates'] = _by_class(candidates, num_classes)
    counts['active'] = _by_class(labels, num_classes)
    counts['followed'] = (student == labels).sum()
    return counts


def count_labels(samples: Sequence[SegDataSample], like: Tensor) -> Tensor:
    """Count the labelled pixels of samples by class.

    Args:
        samples: Samples with labels.
        like: Counts (K,) that give device and number of classes.
    """
    total = torch.zeros_like(like)
    for sample in samples:
        labels = sample.gt_sem_seg.data.to(like.device)
        total += _by_class(labels, len(like))
    return total


def sum_over_ranks(counts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sum counts over all ranks in one collective."""
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


DIGITS = 6  # digits of shares: a millionth is less than a pixel of a crop


def target_record(
    counts: dict[str, Tensor], classes: Sequence[str]
) -> dict[str, float | dict[str, float]]:
    """Convert counts of target pixels to shares.

    Args:
        counts: Result of `count_target`.
        classes: Names of the K classes.

    Returns:
        ``predicted``: share of the student's predictions by class. With a
        teacher ``agreement`` and ``active`` (of all pixels), ``kappa``
        (Cohen's), ``followed`` (of active pixels), ``pseudo`` (of active
        pixels, by class), and ``coverage`` (active share of candidates, by
        class). Shares of zero pixels are omitted.
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
    """Compute Cohen's kappa of student and teacher.

    1 for full agreement, 0 for the agreement of independent predictions with
    the same class shares, such as a student that predicts one class.

    Args:
        counts: ``predicted`` and ``teacher`` (K,), ``agree`` ().

    Returns:
        (p - e) / (1 - e) with the observed agreement p and the chance
        agreement e; None if both predict the same single class.

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
    """Convert gap counts (K, B) with edges (B + 1,) and classes to JSON."""
    return {
        'edges': [round(edge, DIGITS) for edge in edges.tolist()],
        'counts': dict(zip(classes, gaps.tolist(), strict=True)),
    }


def margin_record(
    margin: Tensor, classes: Sequence[str]
) -> float | dict[str, float | None] | None:
    """Convert a margin (K,) to JSON: one number if equal for all classes.

    Infinite values become None: nothing is assigned.
    """
    values = [m if m < float('inf') else None for m in margin.tolist()]
    if len(set(values)) == 1:
        return values[0]
    return dict(zip(classes, values, strict=True))


def _share(part: Tensor, whole: Tensor) -> float:
    return round(part.item() / whole.item(), DIGITS)


def shares_of(parts: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Convert counts (K,) to shares by class, omitting zeros."""
    whole = parts.sum()
    if not whole:
        return {}
    return {
        name: _share(part, whole)
        for name, part in zip(classes, parts, strict=True)
    }
