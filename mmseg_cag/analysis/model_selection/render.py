# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Mapping, Sequence

from .choose import IS_HIGHER_BETTER

NONE = '–'
TITLES = {
    'entropy': 'entropy ↓',
    'snd': 'SND ↑',
    'agreement': 'agreement ↑',
    'source_mIoU': 'source mIoU ↑',
    'last': '(the last)',
}


def to_markdown(
    title: str, scores: Sequence[dict], choices: Mapping[str, dict]
) -> str:
    """Write the scores of checkpoints and what they would have chosen.

    Args:
        title: Of the tables.
        scores: As `score_run` gives them, of one run or of several.
        choices: As `choose` makes them of these.
    """
    names = [TITLES[name] for name in IS_HIGHER_BETTER]
    rows = [
        [
            row['checkpoint'],
            _number(row['stage'], 'd'),
            *(_number(row[name], _form(name)) for name in IS_HIGHER_BETTER),
            _number(row['mIoU']),
        ]
        for row in scores
    ]
    parts = [_table(['checkpoint', 'stage', *names, 'mIoU'], rows)]
    rows = [
        [
            TITLES[name],
            choice['checkpoint'],
            _number(choice['mIoU']),
            _number(choice['cost']),
            _number(choice['correlation'], '+.2f'),
        ]
        for name, choice in choices.items()
    ]
    heads = ['by', 'chosen', 'mIoU', 'below the best', 'rank correlation']
    parts.append(_table(heads, rows))
    return '\n\n'.join([f'### {title}', *parts]) + '\n'


def _form(name: str) -> str:
    return '.1f' if name == 'source_mIoU' else '.3f'


def _number(value: float | None, form: str = '.1f') -> str:
    return NONE if value is None else format(value, form)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ['---'] * len(heads), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
