# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The report, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from .finding import Finding
from .kinds import Level
from .label_reader import show_ids
from .report import Part, Report, class_rows

COLOURS = {Level.NOTE: 'cyan', Level.WARNING: 'yellow', Level.ERROR: 'red'}
SHOWN = 3  # places that a fault is shown at


def show(report: Report, console: Console) -> None:
    """Write the data sets, their classes and the findings.

    Args:
        report: What was found.
        console: Where it is written.
    """
    console.print(_data_table(report.parts))
    counted = [part for part in report.parts if part.histogram]
    if counted:
        console.print(_class_table(counted))
    findings = report.all_findings
    if findings:
        console.print(_finding_table(findings))
    counts = {
        level: sum(f.kind.level is level for f in findings) for level in Level
    }
    verdict = '' if report.exit_code else 'good: '
    numbers = ', '.join(
        f'{counts[level]} {level.name.lower()}{"s" * (counts[level] != 1)}'
        for level in reversed(Level)
    )
    console.print(verdict + numbers)


def _data_table(parts: Iterable[Part]) -> Table:
    table = Table(title='Data', title_justify='left')
    table.add_column('role')
    table.add_column(
        'type and folder, and where the config names it', overflow='fold'
    )
    for name in ('images', 'decoded', 'labels'):
        table.add_column(name)
    for part in parts:
        reading = part.reading
        folder = f'{reading.kind} {reading.folder("img_path")}'
        table.add_row(
            reading.role,
            '\n'.join((folder, reading.key, *reading.again)),
            str(part.images),
            str(part.decoded),
            'read' if reading.labelled else 'closed',
        )
    return table


def _class_table(parts: list[Part]) -> Table:
    """Raw ids, share of the labelled pixels and images, for each class."""
    table = Table(title='Classes in what was decoded', title_justify='left')
    table.add_column('class')
    rows: dict[str, list[str]] = {}
    for number, part in enumerate(parts):
        for name in (f'{part.reading.role}: ids', 'share', 'images'):
            table.add_column(name, justify='right')
        for row in class_rows(part.reading, part.histogram):
            cells = rows.setdefault(row['class'], [])
            cells += [''] * (3 * number - len(cells))
            cells.append(show_ids(part.reading.labels, row['ids']))
            cells += [f'{row["share"]:.2%}', str(row['images'])]
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _finding_table(findings: list[Finding]) -> Table:
    """One row for each kind of fault: its first places and how many more."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        alike = (finding.name, finding.remedy)
        groups.setdefault(alike, []).append(finding)
    table = Table(title='Findings', title_justify='left', show_lines=True)
    table.add_column('finding')
    table.add_column('where, what, and what to do', overflow='fold')
    for (name, _), group in groups.items():
        kind = group[0].kind
        level = kind.level.name.lower()
        head = Text(f'{level}\n{name}', style=COLOURS[kind.level])
        table.add_row(head, _explain(group))
    return table


def _explain(group: list[Finding]) -> Group:
    lines = [Text(f'{f.where}: {f.problem}') for f in group[:SHOWN]]
    more = len(group) - SHOWN
    if more > 0:
        lines.append(Text(f'and {more} more, listed by --json'))
    lines.append(Text(group[0].remedy, style='bold'))
    return Group(*lines)
