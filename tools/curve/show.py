# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Show the curve: a table and a plot of the measured rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import matplotlib
from benchmarks.rows.store import last_miou
from benchmarks.rows.tables import NONE, line, measured_on
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .runs import ALONE, BOTH, NOBODY, ORACLE, START

TITLES = {
    START: 'source only',
    ORACLE: 'all labels of the target',
    ALONE: 'labels alone',
    BOTH: 'labels and adaptation',
}
WAYS = {
    'anchors': 'chosen by anchors',
    'entropy': 'chosen by entropy',
    'random': 'at random',
}
COLOURS = {ALONE: '#D55E00', BOTH: '#0072B2'}
LINES = {'anchors': '-', 'entropy': ':', 'random': '--'}
HOW = (
    'Last checkpoints, mIoU in percent. Of one seed with the 95 % interval '
    'over images (bootstrap), of several the mean with the lowest and the '
    'highest.'
)


class Point(NamedTuple):
    """mIoU with some labels.

    Attributes:
        value: Mean mIoU over the seeds.
        low: The lowest seed, or the lower end of a single seed's interval.
        high: The highest, likewise.
        seeds: Number of seeds.
    """

    value: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        span = f'{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]'
        count = 'one seed' if self.seeds == 1 else f'{self.seeds} seeds'
        return f'{span}, {count}'


def one_machine_a_seed(found: Mapping[str, Sequence[dict]]) -> list[dict]:
    """Join machines: of each seed the rows of the machine with most of them.

    Runs of one seed are compared with each other, and the same run differs
    between machines as it does between seeds.

    Args:
        found: Rows by machine.
    """
    by_seed: dict[int, dict[str, list[dict]]] = {}
    for machine in sorted(found):
        for row in found[machine]:
            machines = by_seed.setdefault(row['seed'], {})
            machines.setdefault(machine, []).append(row)
    # max keeps the first of equals.
    return [
        row
        for _, machines in sorted(by_seed.items())
        for row in max(machines.values(), key=len)
    ]


def measured_by_seed(rows: Sequence[dict]) -> str:
    """Describe machines, dates and versions, and which seeds are whose."""
    by_machine: dict[str, list[dict]] = {}
    for row in rows:
        by_machine.setdefault(row['machine']['class'], []).append(row)
    if len(by_machine) == 1:
        return measured_on(rows)
    told = []
    for own in by_machine.values():
        seeds = sorted({row['seed'] for row in own})
        head = 'Seed' if len(seeds) == 1 else 'Seeds'
        told.append(f'{head} {", ".join(map(str, seeds))}: {measured_on(own)}')
    return ' '.join(told)


def points(rows: Sequence[dict]) -> dict[tuple, Point]:
    """Join the rows of several seeds, by setting, way and labels."""
    by_run: dict[tuple, list[dict]] = {}
    for row in sorted(rows, key=lambda row: row['seed']):
        key = (row['setting'], row['by'], row['labels'])
        by_run.setdefault(key, []).append(row)
    found = {}
    for key, own in by_run.items():
        values = [last_miou(row) for row in own]
        ends = [min(values), max(values)]
        if len(own) == 1:
            ends = own[0]['interval']
        found[key] = Point(mean(values), *ends, len(own))
    return found


def series_of(found: Mapping[tuple, Point]) -> dict[tuple, dict[int, Point]]:
    """Group the points into lines by setting and way, sorted by labels.

    The method without labels starts each of its lines.
    """
    lines: dict[tuple, dict[int, Point]] = {}
    for setting in (ALONE, BOTH):
        for by in WAYS:
            own = {
                labels: point
                for (s, b, labels), point in found.items()
                if (s, b) == (setting, by)
            }
            nothing = found.get((setting, NOBODY, 0))
            if own and nothing:
                own[0] = nothing
            if own:
                lines[setting, by] = dict(sorted(own.items()))
    return lines


def write_table(rows: Sequence[dict]) -> str:
    """Write the curve as Markdown."""
    found, values = points(rows), by_run_and_seed(rows)
    lines = series_of(found)
    heads = [f'{TITLES[s]}, {WAYS[by]}' for s, by in lines]
    counts = sorted({n for own in lines.values() for n in own})
    table = [line(['labels', *heads]), '|' + '--:|' * (len(heads) + 1)]
    for labels in counts:
        cells = [own.get(labels, NONE) for own in lines.values()]
        table.append(line([str(labels), *map(str, cells)]))
    ends = [
        f'{TITLES[name]} {found[name, NOBODY, 0]}'
        for name in (START, ORACLE)
        if (name, NOBODY, 0) in found
    ]
    parts = [
        '\n'.join(table) if lines else '',
        f'{"; ".join(ends)}.' if ends else '',
        next_label(lines, values),
        chosen_against_random(values),
        f'{HOW} {rows[0]["images"]} images. {measured_by_seed(rows)}',
    ]
    return '\n\n'.join(part for part in parts if part)


def by_run_and_seed(rows: Sequence[dict]) -> dict[tuple, dict[int, float]]:
    """Sort the mIoU of rows by setting, way and labels, and by seed."""
    values: dict[tuple, dict[int, float]] = {}
    for row in sorted(rows, key=lambda row: row['seed']):
        run = (row['setting'], row['by'], row['labels'])
        values.setdefault(run, {})[row['seed']] = last_miou(row)
    return values


def gains(
    values: Mapping[tuple, Mapping[int, float]], run: tuple, other: tuple
) -> list[float]:
    """Compute the gain of a run over another one, for shared seeds."""
    own, others = values[run], values.get(other, {})
    return [own[seed] - others[seed] for seed in own if seed in others]


def next_label(
    lines: Mapping[tuple, Mapping[int, Point]],
    values: Mapping[tuple, Mapping[int, float]],
) -> str:
    """Describe the gain per further label, from one number to the next."""
    told = []
    for (setting, by), own in lines.items():
        runs = [(setting, by if labels else NOBODY, labels) for labels in own]
        steps = [
            f'{mean(found) / (after[2] - run[2]):+.2f} from {run[2]} to '
            f'{after[2]}'
            for run, after in pairwise(runs)
            if (found := gains(values, after, run))
        ]
        if steps:
            name = f'{TITLES[setting]}, {WAYS[by]}'
            told.append(f'- {name}: {", ".join(steps)}')
    title = 'mIoU that a further label buys, over the seeds that both have:'
    return section(title, told)


def chosen_against_random(
    values: Mapping[tuple, Mapping[int, float]],
) -> str:
    """Describe the gain of choosing over random, for shared seeds."""
    told = []
    for setting, by, labels in sorted(values):
        own = gains(values, (setting, by, labels), (setting, 'random', labels))
        if by not in ('random', NOBODY) and own:
            told.append(
                f'- {TITLES[setting]}, {labels} {WAYS[by]}: '
                f'{mean(own):+.1f} ({", ".join(f"{x:+.1f}" for x in own)})'
            )
    return section('Against as many at random, mean and by seed:', told)


def section(title: str, items: Sequence[str]) -> str:
    """Write a titled list; an empty one is left out."""
    return '\n'.join([title, '', *items]) if items else ''


def draw(rows: Sequence[dict], title: str, path: Path) -> None:
    """Draw the curve as a PNG.

    Args:
        rows: The finished runs.
        title: Title of the plot.
        path: The output file.
    """
    found = points(rows)
    style = {'font.size': 9, 'axes.grid': True, 'grid.color': '#dddddd'}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(6.4, 4.0), layout='constrained')
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for name, colour in ((START, '#595959'), (ORACLE, '#009E73')):
            if end := found.get((name, NOBODY, 0)):
                axes.axhline(end.value, color=colour, label=TITLES[name])
                axes.axhspan(end.low, end.high, color=colour, alpha=0.12)
        series = series_of(found)
        numbers = sorted({labels for own in series.values() for labels in own})
        # Side by side, as ranges would hide those of others.
        step = 0.012 * max(numbers, default=0)
        for place, ((setting, by), own) in enumerate(series.items()):
            shift = step * (place - (len(series) - 1) / 2)
            values = [point.value for point in own.values()]
            ends = [
                [p.value - p.low for p in own.values()],
                [p.high - p.value for p in own.values()],
            ]
            axes.errorbar(
                [labels + shift for labels in own],
                values,
                ends,
                color=COLOURS[setting],
                linestyle=LINES[by],
                marker='o',
                capsize=3,
                label=f'{TITLES[setting]}, {WAYS[by]}',
            )
        axes.set(
            xticks=numbers,
            xlabel='labelled images of the target',
            ylabel='mIoU (%)',
            title=title,
        )
        axes.legend(frameon=False, fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
