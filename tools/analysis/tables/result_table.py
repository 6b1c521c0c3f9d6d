# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Tables of methods: quoted rows and rows measured over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from statistics import mean, stdev
from typing import NamedTuple

from mmseg_cag.errors import UserError

from .finished_run import FinishedRun
from .published import BENCHMARKS, SOURCES, Benchmark, Published

# A run and the user's name for its method, if any.
Named = tuple[str | None, FinishedRun]


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        method: Its name.
        origin: Where its figures come from.
        iou: IoU by class, in percent; classes may be missing.
        means: Mean and standard deviation over runs, by name; the latter is
            None for one run or if unpublished.
        note: Footnote below the table.
    """

    method: str
    origin: str
    iou: dict[str, float]
    means: dict[str, tuple[float, float | None]]
    note: str = ''


class ResultTable(NamedTuple):
    """A table of methods.

    Attributes:
        title: Its title.
        classes: Names of its IoU columns.
        means: Names of its columns with means.
        rows: Rows, quoted ones first.
    """

    title: str
    classes: tuple[str, ...]
    means: tuple[str, ...]
    rows: list[Row]

    @property
    def notes(self) -> list[str]:
        """Return the footnotes of the table."""
        notes = ['IoU and its means in percent']
        if any(
            deviation for r in self.rows for _, deviation in r.means.values()
        ):
            notes.append('± is the standard deviation over the seeds')
        quoted = {row.origin for row in self.rows}
        notes += [
            f'quoted ({name}): from the {text}, not measured here'
            for name, text in SOURCES.items()
            if f'quoted ({name})' in quoted
        ]
        return notes + [
            f'{row.method}, {row.origin}: {row.note}'
            for row in self.rows
            if row.note
        ]


def make_tables(runs: Iterable[Named]) -> list[ResultTable]:
    """Group runs into tables, one per pair of datasets.

    Args:
        runs: In the order of the rows. Runs of the same name form one row; so
            do unnamed runs that differ only in the seed.

    Raises:
        UserError: A run is given twice, or two runs of a row share a seed.
    """
    tables: dict[Hashable, list[Named]] = defaultdict(list)
    folders = set()
    for name, run in runs:
        if run.folder.resolve() in folders:
            raise UserError(f'{run.folder}: given twice')
        folders.add(run.folder.resolve())
        tables[_benchmark_of(run) or _pair_of(run)].append((name, run))
    return [
        _known_table(key, members)
        if isinstance(key, Benchmark)
        else _other_table(members)
        for key, members in tables.items()
    ]


def _benchmark_of(run: FinishedRun) -> Benchmark | None:
    for benchmark in BENCHMARKS:
        if (
            run.domains == benchmark.domains
            and tuple(run.classes) in benchmark.plain
            and not run.is_minitown
        ):
            return benchmark
    return None


def _pair_of(run: FinishedRun) -> Hashable:
    return run.domains, run.data_root, *run.classes, *run.means


def _known_table(benchmark: Benchmark, runs: list[Named]) -> ResultTable:
    rows = [quoted_row(r, benchmark.classes) for r in benchmark.published]
    rows += _measured_rows(runs, benchmark)
    return ResultTable(
        benchmark.title, benchmark.classes, benchmark.means, rows
    )


def _other_table(runs: list[Named]) -> ResultTable:
    rows = _measured_rows(runs, None)
    run = runs[0][1]
    classes = [
        name for name in run.classes if any(name in r.iou for r in rows)
    ]
    source, target = run.domains
    title = f'{source} → {target} in {run.data_root}'
    return ResultTable(title, tuple(classes), tuple(run.means), rows)


def _measured_rows(
    runs: list[Named], benchmark: Benchmark | None
) -> list[Row]:
    methods: dict[Hashable, list[FinishedRun]] = defaultdict(list)
    for name, run in runs:
        methods[name, '' if name else run.method].append(run)
    return [
        measured_row(name, members, benchmark)
        for (name, _), members in methods.items()
    ]


def quoted_row(row: Published, classes: Sequence[str]) -> Row:
    """Convert a published row; its IoU follow the order of the classes."""
    iou = dict(zip(classes, row.iou, strict=True)) if row.iou else {}
    means = {name: (value, None) for name, value in row.means.items()}
    return Row(row.method, f'quoted ({row.source})', iou, means, row.note)


def measured_row(
    name: str | None, runs: list[FinishedRun], benchmark: Benchmark | None
) -> Row:
    """Average runs of one method; classes missing in any run are left out.

    Args:
        name: The method's name; None derives it from the folders.
        runs: Runs with different seeds.
        benchmark: Their benchmark, if it is a known one.

    Raises:
        UserError: Two runs share a seed.
    """
    _check_seeds(runs)
    means = [_named_means(run, benchmark) for run in runs]
    iou = [run.iou for run in runs]
    return Row(
        name or _name_of(runs),
        _describe(runs),
        {c: mean(r[c] for r in iou) for c in _shared(iou)},
        {m: _mean_sd([r[m] for r in means]) for m in _shared(means)},
        _note(runs, benchmark),
    )


def _check_seeds(runs: list[FinishedRun]) -> None:
    first: dict[int | None, FinishedRun] = {}
    for run in runs:
        other = first.setdefault(run.seed, run)
        if other is not run:
            raise UserError(
                f'{run.folder}: has the same method and seed {run.seed} as '
                f'{other.folder}, expected different seeds or distinct '
                'names, as NAME=WORK_DIR'
            )


def _named_means(
    run: FinishedRun, benchmark: Benchmark | None
) -> dict[str, float]:
    """Rename the mean over all classes by its class set."""
    if benchmark is None:
        return run.means
    means = dict(run.means)
    if 'mIoU' in means:
        value = means.pop('mIoU')
        means[benchmark.plain[tuple(run.classes)]] = value
    return means


def _shared(results: list[dict[str, float]]) -> list[str]:
    return [key for key in results[0] if all(key in r for r in results)]


def _mean_sd(values: list[float]) -> tuple[float, float | None]:
    return mean(values), stdev(values) if len(values) > 1 else None


def _name_of(runs: list[FinishedRun]) -> str:
    """Join the common trailing parts of the folders' paths."""
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
