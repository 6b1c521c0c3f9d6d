# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from mmseg_cag.errors import UserError

from .benchmarks import BENCHMARKS, Benchmark
from .finished_run import FinishedRun
from .published import SOURCES
from .rows import Row, measured_row, quoted_row

# A run, and the name that the user gives its method, if any.
Named = tuple[str | None, FinishedRun]


class ResultTable(NamedTuple):
    """A table of methods.

    Attributes:
        title: What it is of.
        classes: Names of its columns of IoU.
        means: Names of its columns of means.
        rows: Quoted ones first.
    """

    title: str
    classes: tuple[str, ...]
    means: tuple[str, ...]
    rows: list[Row]

    @property
    def notes(self) -> list[str]:
        """What is to be said below it."""
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
    """Sort runs into tables, one for each pair of data sets.

    Args:
        runs: In the order of the rows; those of one name, or without a name
            those that differ in the seed alone, are one row.

    Raises:
        UserError: A run is given twice, or two of a row have the same seed.
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
