# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Make tables of finished rows, one per machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from .methods import REESTIMATED, TITLES, Variant, title_of
from .store import last_miou

NONE = '–'
# Keys set when a row is read: whether its settings have changed since, and
# how many stages of another run its own follow.
STALE, BEFORE = 'is_stale', 'stages_before'
CHANGED = '† Measured with settings that have changed since.'
CLASS = 'IoU.'

Rows = dict[str, dict[int, dict]]


def write_tables(found: Mapping[str, Sequence[dict]]) -> str:
    """Write the tables of a pair, the machine with most rows first.

    Args:
        found: Rows by machine.
    """
    if not found:
        return 'Nothing is measured yet.'
    machines = sorted(found, key=lambda name: (-len(found[name]), name))
    return '\n\n'.join(write_machine(found[name]) for name in machines)


def write_machine(contents: Sequence[dict]) -> str:
    """Write the tables of one machine: methods, variants of them, classes."""
    rows = by_name(contents)
    methods = {n: r for n, r in rows.items() if is_method(n)}
    tried = [name for name in rows if name not in methods]
    seeds = sorted({content['seed'] for content in contents})
    parts = []
    if methods:
        parts = [
            main_table(rows, list(methods), seeds),
            '\n'.join(checks(methods)),
            'IoU by class of the last checkpoint, mean over the seeds:',
            class_table(methods),
        ]
    if methods and tried:
        parts.append('Variants:')
    parts += [
        main_table(rows, tried, seeds) if tried else '',
        CHANGED if any(content.get(STALE) for content in contents) else '',
        measured_on(contents),
    ]
    return '\n\n'.join(part for part in parts if part)


def is_method(name: str) -> bool:
    """Check whether a row belongs to a method, not a variant."""
    return name.removesuffix(REESTIMATED) in TITLES


def title(rows: Rows, name: str) -> str:
    """Write the title of a row, marked where its settings have changed."""
    contents = rows[name].values()
    variants = [Variant(**c['variant']) for c in contents if c.get('variant')]
    mark = ' †' if any(content.get(STALE) for content in contents) else ''
    return title_of(name, variants[-1] if variants else None) + mark


def by_name(contents: Sequence[dict]) -> Rows:
    """Sort rows by name, in table order, and by seed."""
    rows: Rows = {}
    for content in contents:
        rows.setdefault(content['name'], {})[content['seed']] = content
    order = {name: place for place, name in enumerate(TITLES)}

    def key(name: str) -> tuple:
        base = name.removesuffix(REESTIMATED)
        last = len(order) - 1  # the oracle, below all others
        return order.get(base, last - 0.5), base, name != base

    return {
        name: dict(sorted(rows[name].items()))
        for name in sorted(rows, key=key)
    }


def main_table(rows: Rows, names: Sequence[str], seeds: Sequence[int]) -> str:
    """Write mean, deviation, every seed, the gain, and the gap's share.

    Args:
        rows: All rows.
        names: Rows of the table.
        seeds: Columns of the table.
    """
    heads = ['network', 'mean', 'sd', *(f'seed {seed}' for seed in seeds)]
    heads += ['gain', 'of the gap']
    lines = [line(heads), '|' + '---|' * len(heads)]
    for name in names:
        *stages, last = stages_of(rows[name])
        label = title(rows, name)
        first = 1 + max(c.get(BEFORE, 0) for c in rows[name].values())
        for stage, values in enumerate(stages, start=first):
            cells = figures(values, seeds)
            lines.append(line([f'{label}, stage {stage}', *cells, '', '']))
        if stages:
            label = f'{label}, stage {len(stages) + first}'
        compared = [
            number(gain(rows, name), '+.1f'),
            number(share(rows, name), '.0%'),
        ]
        if name == 'source_only':
            compared = ['', '']
        lines.append(line([label, *figures(last, seeds), *compared]))
    return '\n'.join(lines)


def stages_of(by_seed: dict[int, dict]) -> list[dict[int, float]]:
    """List mIoU by seed at the end of each stage; without stages, the last."""
    if any(content.get('stages') for content in by_seed.values()):
        lists = {
            seed: [m['mIoU'] for m in content['scores'].values()]
            for seed, content in by_seed.items()
        }
        return [
            {seed: values[place] for seed, values in lists.items()}
            for place in range(min(map(len, lists.values())))
        ]
    return [{seed: last_miou(content) for seed, content in by_seed.items()}]


def figures(values: dict[int, float], seeds: Sequence[int]) -> list[str]:
    """Write mean, deviation and the value of each seed."""
    spread = stdev(values.values()) if len(values) > 1 else None
    cells = [mean(values.values()), spread]
    cells += [values.get(seed) for seed in seeds]
    return [number(cell) for cell in cells]


def gain(rows: Rows, name: str) -> float | None:
    """Compute a row's gain over source-only, for shared seeds."""
    pairs = shared(rows, name, 'source_only')
    return mean(one - other for one, other in pairs) if pairs else None


def share(rows: Rows, name: str) -> float | None:
    """Compute the share of the oracle gap that a row closes.

    Uses means over the seeds shared by the row, source-only and the oracle.
    """
    found = shared(rows, name, 'source_only', 'oracle')
    if not found:
        return None
    value, source, oracle = map(mean, zip(*found, strict=True))
    return (value - source) / (oracle - source) if oracle != source else None


def shared(rows: Rows, *names: str) -> list[tuple[float, ...]]:
    """List the last mIoU of several rows, for shared seeds."""
    if not rows.keys() >= set(names):
        return []
    seeds = set.intersection(*(set(rows[name]) for name in names))
    return [
        tuple(last_miou(rows[name][seed]) for name in names)
        for seed in sorted(seeds)
    ]


def checks(rows: Rows) -> list[str]:
    """Describe each row's gain on average and on its worst seed."""
    lines = []
    for name in rows:
        pairs = shared(rows, name, 'source_only')
        if name == 'source_only' or not pairs:
            continue
        gains = [one - other for one, other in pairs]
        lines.append(
            f'- {title(rows, name)}, last checkpoint above '
            f'source only: {mean(gains):+.1f} on average, {min(gains):+.1f} '
            f'on the worst seed{warnings([*rows[name].values()])}.'
        )
        drops = [
            before[seed] - after[seed]
            for before, after in zip(
                stages_of(rows[name])[:-1],
                stages_of(rows[name])[1:],
                strict=True,
            )
            for seed in before
        ]
        if drops:
            lines.append(
                f'- {title(rows, name)}, largest fall from a '
                f'stage to the next: {max(*drops, 0.0):.1f}.'
            )
    return lines


def warnings(contents: Sequence[dict]) -> str:
    """Count the runs with alarms and with harm."""
    alarms = sum(bool(content.get('alarms')) for content in contents)
    text = f'; alarms in {alarms} of {len(contents)} runs' if alarms else ''
    compared = [content for content in contents if content.get('looks')]
    if compared:
        harmed = sum(bool(content.get('harm')) for content in compared)
        text += f'; do no harm found harm in {harmed} of {len(compared)}'
    return text


def class_table(rows: Rows) -> str:
    """Write the IoU of each class."""
    tables = {
        name: class_means(by_seed.values()) for name, by_seed in rows.items()
    }
    classes = list(
        dict.fromkeys(c for means in tables.values() for c in means)
    )
    lines = [line(['network', *classes]), '|' + '---|' * (len(classes) + 1)]
    for name, means in tables.items():
        if means:
            cells = [number(means.get(label)) for label in classes]
            lines.append(line([title(rows, name), *cells]))
    return '\n'.join(lines) if classes else ''


def class_means(contents: Sequence[dict]) -> dict[str, float]:
    """Compute the mean IoU of each class over seeds."""
    values: dict[str, list[float]] = {}
    for content in contents:
        last = [*content['scores'].values()][-1]
        for key, value in last.items():
            if key.startswith(CLASS):
                values.setdefault(key.removeprefix(CLASS), []).append(value)
    return {label: mean(found) for label, found in values.items()}


def measured_on(contents: Sequence[dict]) -> str:
    """Describe machine, dates and versions of the rows."""
    dates = sorted({content['date'] for content in contents})
    when = dates[0] if len(dates) == 1 else f'{dates[0]} to {dates[-1]}'
    machine, versions = contents[0]['machine'], contents[0]['versions']
    steps = [
        c['seconds_per_step'] for c in contents if c.get('seconds_per_step')
    ]
    pace = (
        f' A step took {min(steps):.3f} to {max(steps):.3f} s (medians of '
        'runs, several at a time).'
        if steps
        else ''
    )
    return (
        f'{len(contents)} runs on {machine["processor"]}, '
        f'{machine["cpu_cores"]} CPU cores, {when}, Python '
        f'{versions["python"]}, torch {versions["torch"]}, mmengine '
        f'{versions["mmengine"]}, mmseg {versions["mmseg"]}, mmseg_cag '
        f'{versions["mmseg_cag"]}.{pace}'
    )


def number(value: float | None, form: str = '.1f') -> str:
    """Format a number, or a dash."""
    return NONE if value is None else format(value, form)


def line(cells: Sequence[str]) -> str:
    """Write a line of a Markdown table."""
    return '| ' + ' | '.join(cells) + ' |'
