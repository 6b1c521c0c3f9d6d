# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Report of the data check, as text and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from mmseg_cag.datasets.inspection.dataset_inputs import DatasetInput
from mmseg_cag.datasets.inspection.finding import Finding, Level
from mmseg_cag.datasets.inspection.label_reader import show_ids
from mmseg_cag.errors import escape_control_chars

from .contents import Histogram


@dataclass
class Part:
    """Results of a dataset.

    Args:
        reading: The data set.
        findings: Its faults.
        decoded: Number of decoded samples.
        histogram: Histogram of its labels; None if they are not read.
    """

    reading: DatasetInput
    findings: list[Finding] = field(default_factory=list)
    decoded: int = 0
    histogram: Histogram | None = None

    @property
    def images(self) -> int:
        """Return the number of images; 0 if they cannot be listed."""
        return len(vars(self.reading).get('samples', ()))

    @property
    def has_errors(self) -> bool:
        """Whether there are errors that skipping files does not fix."""
        return any(
            f.kind.level is Level.ERROR and not f.kind.of_file
            for f in self.findings
        )

    def as_dict(self) -> dict:
        """Convert to JSON types."""
        found = {
            'keys': [self.reading.key, *self.reading.again],
            'role': self.reading.role,
            'type': self.reading.kind,
            'folder': self.reading.folder('img_path'),
            'images': self.images,
            'decoded': self.decoded,
            'findings': [finding_as_dict(f) for f in self.findings],
        }
        if self.histogram:
            found['ids'] = dict(sorted(self.histogram.ids.items()))
            found['classes'] = class_rows(self.reading, self.histogram)
        return found


@dataclass
class Report:
    """Results of all datasets of a config.

    Args:
        parts: The data sets.
        findings: Faults between them or of the config.
    """

    parts: list[Part]
    findings: list[Finding]

    @property
    def all_findings(self) -> list[Finding]:
        """List all findings, worst first."""
        every = [f for part in self.parts for f in part.findings]
        return sorted(every + self.findings, key=lambda f: -f.kind.level)

    @property
    def exit_code(self) -> int:
        """Return 0 without findings, 1 with warnings, 2 with errors."""
        return int(max((f.kind.level for f in self.all_findings), default=0))

    def as_dict(self) -> dict:
        """Convert to JSON types."""
        return {
            'exit_code': self.exit_code,
            'findings': [finding_as_dict(f) for f in self.findings],
            'data': [part.as_dict() for part in self.parts],
        }


def finding_as_dict(finding: Finding) -> dict[str, str]:
    """Convert a finding to JSON types."""
    return {
        'level': finding.kind.level.name.lower(),
        'name': finding.name,
        'where': finding.where,
        'problem': finding.problem,
        'remedy': finding.remedy,
    }


def class_rows(reading: DatasetInput, histogram: Histogram) -> list[dict]:
    """List raw ids, pixel share and images of each class."""
    ids: dict[int, list[int]] = {}
    for raw, new in reading.class_of_id.items():
        ids.setdefault(new, []).append(raw)
    total = max(histogram.pixels.total(), 1)
    return [
        {
            'class': name,
            'ids': sorted(ids.get(index, ())),
            'share': histogram.pixels[index] / total,
            'images': histogram.images[index],
        }
        for index, name in enumerate(reading.classes)
    ]


COLOURS = {Level.NOTE: 'cyan', Level.WARNING: 'yellow', Level.ERROR: 'red'}
SHOWN = 3  # locations shown per fault


def show(report: Report, console: Console) -> None:
    """Print datasets, classes and findings.

    Args:
        report: The report.
        console: Output.
    """
    console.print(_data_table(report.parts))
    counted = [part for part in report.parts if part.histogram]
    while counted:
        # As many as fit beside each other, so that no cell is cut.
        shown = counted[:1]
        while len(shown) < len(counted) and _fits(
            wider := counted[: len(shown) + 1], console
        ):
            shown = wider
        console.print(_class_table(shown))
        counted = counted[len(shown) :]
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
    table.add_column('type, folder and config key', overflow='fold')
    for name in ('images', 'decoded', 'labels'):
        table.add_column(name)
    for part in parts:
        reading = part.reading
        folder = f'{reading.kind} {reading.folder("img_path")}'
        table.add_row(
            reading.role,
            plain(folder, reading.key, *reading.again),
            str(part.images),
            str(part.decoded),
            'read' if reading.labelled else 'closed',
        )
    return table


def _fits(parts: list[Part], console: Console) -> bool:
    free = console.options.update(width=10**4)
    width = console.measure(_class_table(parts), options=free).maximum
    return width <= console.width


def _class_table(parts: list[Part]) -> Table:
    """Make a table of raw ids, pixel share and images by class."""
    table = Table(title='Classes in decoded samples', title_justify='left')
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
        table.add_row(plain(name), *cells)
    return table


def plain(*lines: str) -> Text:
    """Make cells of names, in which rich finds no markup."""
    return Text('\n'.join(map(escape_control_chars, lines)))


def _finding_table(findings: list[Finding]) -> Table:
    """Make a table with one row per kind of fault."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        alike = (finding.name, finding.remedy)
        groups.setdefault(alike, []).append(finding)
    table = Table(title='Findings', title_justify='left', show_lines=True)
    table.add_column('finding')
    table.add_column('where, problem, remedy', overflow='fold')
    for (name, _), group in groups.items():
        kind = group[0].kind
        level = kind.level.name.lower()
        head = Text(f'{level}\n{name}', style=COLOURS[kind.level])
        table.add_row(head, _explain(group))
    return table


def _explain(group: list[Finding]) -> Group:
    lines = [plain(f'{f.where}: {f.problem}') for f in group[:SHOWN]]
    more = len(group) - SHOWN
    if more > 0:
        lines.append(Text(f'and {more} more, listed by --json'))
    lines.append(Text(group[0].remedy, style='bold'))
    return Group(*lines)
