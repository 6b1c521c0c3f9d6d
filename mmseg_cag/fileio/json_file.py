# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Reading and writing of JSON metadata files."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path

from mmseg_cag.errors import UserError

from .atomic import atomic_path


def write_json(path: Path, metadata: dict) -> None:
    """Write a JSON object atomically."""
    with atomic_path(path) as draft:
        draft.write_text(json.dumps(metadata, indent=1) + '\n')


def read_json(path: Path) -> dict:
    """Read a JSON object.

    Raises:
        UserError: It cannot be read or is not an object.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeError) as error:
        raise UserError(f'{path}: not readable as JSON ({error})') from error
    return parse_json(text, path)


def parse_json(text: str | bytes, path: Path) -> dict:
    """Parse a JSON object that is part of a file.

    Args:
        text: The JSON text.
        path: Its file, for the error.

    Raises:
        UserError: It is not an object.
    """
    try:
        metadata = json.loads(text)
    # The last one if it is nested too deeply.
    except (ValueError, RecursionError) as error:
        raise UserError(f'{path}: not readable as JSON ({error})') from error
    if not isinstance(metadata, dict):
        raise UserError(
            f'{path}: holds a JSON {type(metadata).__name__}, expected an '
            'object'
        )
    return metadata


def read_object(path: Path, problems: list[str]) -> dict:
    """Read a JSON object; reports unreadable files, but not missing ones.

    Args:
        path: The file.
        problems: Receives one line if the file cannot be read.

    Returns:
        The object; empty if there is none.
    """
    if not path.is_file():
        return {}
    try:
        return read_json(path)
    except UserError as error:
        damage = f'{path.name}: damaged'
        problems.append(str(error).replace(str(path), damage, 1))
        return {}


def read_lines(
    path: Path, problems: list[str], required: tuple[str, ...] = ()
) -> list[dict]:
    """Read a JSON lines file, skipping damaged lines.

    Args:
        path: The file.
        problems: Receives one line with the number of skipped lines.
        required: Keys that each object must have, with a number.
    """
    if not path.is_file():
        return []
    lines = [x for x in path.read_bytes().splitlines() if x.strip()]
    good = []
    for line in lines:
        with suppress(UserError):
            record = parse_json(line, path)
            if numbers(record).keys() >= {*required}:
                good.append(record)
    if lost := len(lines) - len(good):
        problems.append(
            f'{path.name}: {lost} of {len(lines)} lines skipped, damaged or '
            'of another version'
        )
    return good


def numbers(record: object) -> dict[str, float]:
    """Select the finite numbers of a record."""
    if not isinstance(record, dict):
        return {}
    return {
        str(key): float(value)
        for key, value in record.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }
