# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Store finished rows: a small JSON each, in a folder by pair and machine."""

from __future__ import annotations

from pathlib import Path

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.json_file import read_json, write_json

from .methods import Row

KEYS = {'pair', 'name', 'seed', 'config', 'scores', 'machine', 'versions'}


def path_of(results: Path, machine: str, row: Row) -> Path:
    """Return the path of a row's file."""
    return results / row.pair / machine / f'{row.name}_seed{row.seed}.json'


def write_row(results: Path, content: dict) -> Path:
    """Write a row atomically."""
    row = Row(content['pair'], content['name'], content['seed'])
    path = path_of(results, content['machine']['class'], row)
    write_json(path, content)
    return path


def read_row(path: Path) -> dict:
    """Read a row.

    Raises:
        UserError: The file is no row.
    """
    content = read_json(path)
    if missing := sorted(KEYS - content.keys()):
        raise UserError(f'{path}: is no row, it lacks {", ".join(missing)}')
    scores = content['scores']
    good = isinstance(scores, dict) and all(
        isinstance(metrics, dict)
        and isinstance(metrics.get('mIoU'), int | float)
        for metrics in scores.values()
    )
    if not scores or not good:
        raise UserError(f'{path}: expected scores with an mIoU each')
    return content


def is_measured(path: Path, config: str) -> bool:
    """Check whether a row with the same settings exists."""
    return path.is_file() and read_row(path)['config'] == config


def read_rows(results: Path, pair: str) -> dict[str, list[dict]]:
    """Read a pair's rows, by machine."""
    found: dict[str, list[dict]] = {}
    for path in sorted((results / pair).glob('*/*.json')):
        found.setdefault(path.parent.name, []).append(read_row(path))
    return found


def last_miou(content: dict) -> float:
    """Get the mIoU of a row's last checkpoint, percent."""
    return [*content['scores'].values()][-1]['mIoU']
