# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Select a checkpoint by each score, and tabulate the outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from scipy.stats import spearmanr

# Whether to select the checkpoint with the highest or lowest score.
IS_HIGHER_BETTER = {
    'entropy': False,
    'snd': True,
    'agreement': True,
    'source_mIoU': True,
}
NONE = '–'
TITLES = {
    'entropy': 'entropy ↓',
    'snd': 'SND ↑',
    'agreement': 'agreement ↑',
    'source_mIoU': 'source mIoU ↑',
    'last': '(the last)',
}


def choose(scores: Sequence[dict], is_one_run: bool = True) -> dict[str, dict]:
    """Find the checkpoint that each score selects, and its loss in mIoU.

    Args:
        scores: Per checkpoint: ``checkpoint``, its scores, None if undefined,
            and ``mIoU`` in percent or None, in training order.
        is_one_run: Whether they come from one run, which has a last one.

    Returns:
        By score, and for the run's ``last``, which is no score:
        ``checkpoint``; its ``mIoU``; ``cost``, the gap to the best mIoU; and
        ``correlation``, Spearman's between score (oriented so that higher is
        better) and mIoU. Unknown values are None.
    """
    chosen = {}
    for name, is_higher in IS_HIGHER_BETTER.items():
        sign = 1 if is_higher else -1
        # A checkpoint without a score is never better than one with it.
        ranked = [
            -math.inf if row[name] is None else sign * row[name]
            for row in scores
        ]
        # Ties go to the later one.
        best = max(range(len(scores)), key=lambda i, r=ranked: (r[i], i))
        chosen[name] = _result(scores, best, ranked)
    if is_one_run:
        chosen['last'] = _result(scores, len(scores) - 1, None)
    return chosen


def _result(
    scores: Sequence[dict], index: int, ranked: list[float] | None
) -> dict:
    row = scores[index]
    known = [s['mIoU'] for s in scores if s['mIoU'] is not None]
    cost = None
    if row['mIoU'] is not None:
        cost = round(max(known) - row['mIoU'], 2)
    correlation = None if ranked is None else _correlate(scores, ranked)
    return {
        'checkpoint': row['checkpoint'],
        'mIoU': row['mIoU'],
        'cost': cost,
        'correlation': correlation,
    }


def _correlate(
    scores: Sequence[dict], ranked: Sequence[float]
) -> float | None:
    pairs = [
        (value, row['mIoU'])
        for value, row in zip(ranked, scores, strict=True)
        if row['mIoU'] is not None
    ]
    # Undefined for two values, or for equal ones.
    if len(pairs) < 3 or any(
        len(set(c)) < 2 for c in zip(*pairs, strict=True)
    ):
        return None
    return round(float(spearmanr(*zip(*pairs, strict=True)).statistic), 3)


def to_markdown(
    title: str, scores: Sequence[dict], choices: Mapping[str, dict]
) -> str:
    """Tabulate the scores of checkpoints and what they select.

    Args:
        title: Title of the tables.
        scores: As `score_run` returns them, from one run or several.
        choices: As `choose` returns them.
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
