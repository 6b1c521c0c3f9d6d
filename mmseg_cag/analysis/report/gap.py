# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The gap between the domains, as tools/check_gap.py measured it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmseg_cag.fileio.json_file import numbers, read_object

GAP = 'gap.json'


@dataclass(frozen=True)
class GapView:
    """What the page shows of a gap.

    Attributes:
        verdict: What to do.
        why: A sentence that explains it.
        findings: The differences: name, text and score of each.
        remedies: Name of each, pixels changed in percent and, where labels
            told it, the mIoU gained.
    """

    verdict: str
    why: str
    findings: list[dict]
    remedies: list[dict]


def read_gap(path: Path, problems: list[str]) -> GapView | None:
    """Read a file of tools/check_gap.py.

    Args:
        path: The file; there may be none.
        problems: Receives one line if it cannot be read.
    """
    content = read_object(path, problems)
    if not isinstance(content.get('verdict'), str):
        return None
    return GapView(
        content['verdict'],
        str(content.get('why', '')),
        [_finding(one) for one in _dicts(content.get('findings'))],
        [_remedy(one) for one in _dicts(content.get('remedies'))],
    )


def _dicts(values: object) -> list[dict]:
    found = values if isinstance(values, list) else []
    return [value for value in found if isinstance(value, dict)]


def _finding(content: dict) -> dict:
    score = numbers(content).get('score')
    return {
        'name': content.get('name', '–'),
        'text': content.get('text', '–'),
        'score': score,
    }


def _remedy(content: dict) -> dict:
    changed, gain = numbers(content).get('changed'), content.get('gain')
    gain = gain if isinstance(gain, list) else []
    return {
        'name': content.get('name', '–'),
        'changed': None if changed is None else 100 * changed,
        'gained': numbers({0: gain[0]}).get('0') if gain else None,
    }
