# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

# legend: K classes, B bins

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
    record = {'predicted': _shares(counts['predicted'], pixels, classes)}
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
    record['pseudo'] = _shares(counts['active'], active, classes)
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


def _shares(
    parts: Tensor, whole: Tensor, classes: Sequence[str]
) -> dict[str, float]:
    if not whole:
        return {}
    return {
        name: _share(part, whole)
        for name, part in zip(classes, parts, strict=True)
    }
