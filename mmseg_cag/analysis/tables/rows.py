# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Rows of a table: quoted ones, and measured ones over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple

from mmseg_cag.errors import UserError

from .benchmarks import Benchmark
from .finished_run import FinishedRun
from .published import Published


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        method: Its name.
        origin: Where its figures are from.
        iou: By class, in percent; a class may be missing.
        means: By name, mean and standard deviation over runs; of one run, or
            where none is published, the latter is None.
        note: What is to be said below the table.
    """

    method: str
    origin: str
    iou: dict[str, float]
    means: dict[str, tuple[float, float | None]]
    note: str = ''


def quoted_row(row: Published, classes: Sequence[str]) -> Row:
    """Take over a published row; its IoU are in the order of the classes."""
    iou = dict(zip(classes, row.iou, strict=True)) if row.iou else {}
    means = {name: (value, None) for name, value in row.means.items()}
    return Row(row.method, f'quoted ({row.source})', iou, means, row.note)


def measured_row(
    name: str | None, runs: list[FinishedRun], benchmark: Benchmark | None
) -> Row:
    """Average runs of one method; a class that one lacks is left out.

    Args:
        name: The method's name; None takes it from the folders.
        runs: Of several seeds.
        benchmark: What they are of, if it is a known one.

    Raises:
        UserError: Two have the same seed.
    """
    _check_seeds(runs)
    means = [_named_means(run, benchmark) for run in runs]
    iou = [run.iou for run in runs]
    return Row(
        name or _name_of(runs),
        _describe(runs),
        {c: mean(r[c] for r in iou) for c in _shared(iou)},
        {m: _spread([r[m] for r in means]) for m in _shared(means)},
        _note(runs, benchmark),
    )


def _check_seeds(runs: list[FinishedRun]) -> None:
    first: dict[int | None, FinishedRun] = {}
    for run in runs:
        other = first.setdefault(run.seed, run)
        if other is not run:
            raise UserError(
                f'{run.folder}: of the same method and seed {run.seed} as '
                f'{other.folder}, expected other seeds or, as NAME=WORK_DIR, '
                'names that tell them apart'
            )


def _named_means(
    run: FinishedRun, benchmark: Benchmark | None
) -> dict[str, float]:
    """Call the mean over all classes by what it is a mean of."""
    if benchmark is None:
        return run.means
    means = dict(run.means)
    if 'mIoU' in means:
        value = means.pop('mIoU')
        means[benchmark.plain[tuple(run.classes)]] = value
    return means


def _shared(results: list[dict[str, float]]) -> list[str]:
    return [key for key in results[0] if all(key in r for r in results)]


def _spread(values: list[float]) -> tuple[float, float | None]:
    return mean(values), stdev(values) if len(values) > 1 else None


def _name_of(runs: list[FinishedRun]) -> str:
    """Join what the ends of the folders' paths have in common."""
    ends = [run.folder.resolve().parts[-2:] for run in runs]
    common = [
        parts[0] for parts in zip(*ends, strict=True) if len(set(parts)) == 1
    ]
    return '/'.join(common) or ', '.join('/'.join(end) for end in ends)


def _describe(runs: list[FinishedRun]) -> str:
    seeds = sorted(str(run.seed) for run in runs)
    ends = sorted({run.iteration for run in runs})
    return (
        f'measured (seed {", ".join(seeds)}; '
        f'iteration {", ".join(map(str, ends))})'
    )


def _note(runs: list[FinishedRun], benchmark: Benchmark | None) -> str:
    if benchmark is None:
        return ''
    outputs = len(runs[0].classes)
    if outputs == max(map(len, benchmark.plain)):
        return ''
    return (
        f'a network with {outputs} outputs, for which the other classes do '
        'not exist'
    )
