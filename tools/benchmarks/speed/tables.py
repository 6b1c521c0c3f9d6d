# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable

from rich.table import Table

HOUR = 3.6e6  # milliseconds


def operation_rows(results: dict) -> list[list[str]]:
    """Make the rows of the anchor operations, heads first."""
    rows = [['operation', 'ms', 'loops, ms', 'times as fast',
             'floor, ms', 'times the floor', 'memory / features']]  # fmt: skip
    for name, found in results.items():
        loop = found['loop']
        rows.append(
            [
                name,
                _spread(found),
                _spread(loop) if loop else '',
                f'{loop["median"] / found["median"]:.1f}' if loop else '',
                f'{found["floor"]:.2f}',
                f'{found["median"] / found["floor"]:.1f}',
                f'{found["memory"]:.2f}',
            ]
        )
    return rows


def scaling_rows(results: dict) -> list[list[str]]:
    """Make the rows with more classes and images, heads first."""
    settings = list(next(iter(results.values())))
    rows = [['operation, ms', *settings, 'classes', 'images']]
    for name, found in results.items():
        medians = [found[setting]['median'] for setting in settings]
        rows.append(
            [
                name,
                *(_spread(found[setting]) for setting in settings),
                f'x {medians[1] / medians[0]:.2f}',
                f'x {medians[-1] / medians[2]:.2f}',
            ]
        )
    return rows


def teaching_rows(results: dict) -> list[list[str]]:
    """Make the rows of a mean teacher's extra work, heads first."""
    return [
        ['operation', 'ms', 'straightforward, ms', 'times as fast'],
        *(
            [
                name,
                _spread(found),
                _spread(found['plain']),
                f'{found["plain"]["median"] / found["median"]:.1f}',
            ]
            for name, found in results.items()
        ),
    ]


def step_rows(results: dict) -> list[list[str]]:
    """Make the rows of the step in each form, heads first."""
    rows = [['form', 'step, ms', 'passes, ms', 'step / passes', 'images / s',
             'anchors, images / s', 'memory, MB', 'stage, h',
             'schedule, h']]  # fmt: skip
    for form, found in results['forms'].items():
        step, passes, anchors = (
            found[part]['median'] for part in ('whole', 'passes', 'anchors')
        )
        hours = step * results['stage_iters'] / HOUR
        rows.append(
            [
                form,
                _spread(found['whole']),
                _spread(found['passes']),
                f'{step / passes:.3f}',
                f'{2e3 * results["batch"] / step:.2f}',
                f'{1e3 * results["batch"] / anchors:.2f}',
                f'{found["memory"] / 1e6:.0f}',
                f'{hours:.2f}',
                f'{hours * results["stages"]:.2f}',
            ]
        )
    return rows


def step_note(results: dict) -> str:
    """Describe the step and the agreement of labels between forms."""
    height, width = results['size']
    text = (
        f'{results["config"]}: {results["batch"]} + {results["batch"]} crops '
        f'of {width} x {height}, {results["stages"]} stages of '
        f'{results["stage_iters"]} steps.'
    )
    if len(results['forms']) == 1:
        return text
    first, *_, last = results['forms'].items()
    ratio = first[1]['whole']['median'] / last[1]['whole']['median']
    # Without labels there is nothing to compare.
    same = f', {100 * results["agreement"]:.3f} % the same in both'
    same = same if results['active'] else ''
    return (
        f'{text} {last[0]}: {ratio:.2f} times as fast as {first[0]}; '
        f'{100 * results["active"]:.1f} % of the target pixels have a label '
        f'by anchors{same}.'
    )


ROWS: dict[str, Callable[[dict], list[list[str]]]] = dict(
    operations=operation_rows,
    scaling=scaling_rows,
    teaching=teaching_rows,
    step=step_rows,
)


def make_tables(results: dict) -> list[Table]:
    """Make the tables for the terminal."""
    tables = []
    for part, make in ROWS.items():
        if part in results:
            heads, *rows = make(results[part])
            tables.append(Table(*heads, title=part))
            for row in rows:
                tables[-1].add_row(*row)
    return tables


def make_notes(results: dict) -> list[str]:
    """Make the notes below the tables."""
    notes = [step_note(results['step'])] if 'step' in results else []
    return [*notes, results['machine']]


def to_markdown(results: dict) -> str:
    """Render the tables for the document."""
    parts = []
    for part, make in ROWS.items():
        if part in results:
            heads, *rows = make(results[part])
            lines = [heads, ['---'] * len(heads), *rows]
            parts.append(
                '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)
            )
    return '\n\n'.join([*parts, *make_notes(results)])


def _spread(found: dict) -> str:
    median, low, high = (found[key] for key in ('median', 'p10', 'p90'))
    return f'{median:.1f} ({low:.1f} - {high:.1f})'
