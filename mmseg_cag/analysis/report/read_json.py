# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What the text log of a run tells: versions and time."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path


def read_object(path: Path, problems: list[str]) -> dict:
    """Read a JSON object; an unreadable one is a problem, a missing is not.

    Args:
        path: The file.
        problems: Gets one line for what cannot be read.

    Returns:
        The object, empty where there is none.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):  # the last if nested too deep
        problems.append(f'{path.name}: damaged, is no JSON')
        return {}
    if not isinstance(content, dict):
        problems.append(f'{path.name}: expected an object of JSON')
        return {}
    return content


def read_lines(
    path: Path, problems: list[str], required: tuple[str, ...] = ()
) -> list[dict]:
    """Read a file of one JSON object a line, leaving out the damaged lines.

    Args:
        path: The file.
        problems: Gets one line that counts what was left out.
        required: Keys that each object must have, with a number.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().splitlines()
    records = [_parse(line) for line in lines if line.strip()]
    good = [
        record
        for record in records
        if record is not None and all(_has(record, key) for key in required)
    ]
    if lost := len(records) - len(good):
        problems.append(
            f'{path.name}: {lost} of {len(records)} lines left out, damaged '
            'or of another version'
        )
    return good


def numbers(record: object) -> dict[str, float]:
    """Keep the entries of a record that are finite numbers."""
    if not isinstance(record, dict):
        return {}
    return {
        str(key): float(value)
        for key, value in record.items()
        if _is_number(value)
    }


def _parse(line: bytes) -> dict | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _has(record: dict, key: str) -> bool:
    return _is_number(record.get(key))


def _is_number(value: object) -> bool:
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and math.isfinite(value)


STAMP = re.compile(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ', re.M)
# Names in mmengine's block "System environment" that a reader asks for.
ENVIRONMENT = re.compile(
    r'^ {4}(sys\.platform|Python|PyTorch|TorchVision|OpenCV|MMEngine|GPU [^:]+'
    r'|CUDA available|GPU number): (.+)$',
    re.M,
)
HEAD = 20_000  # characters, within which the log begins


def read_environment(log: Path) -> dict[str, str]:
    """Read the versions and devices that a log begins with."""
    text = log.read_text(errors='replace')[:HEAD]
    return {
        name: value.split(' (')[0] for name, value in ENVIRONMENT.findall(text)
    }


def measure_seconds(logs: Sequence[Path]) -> float | None:
    """Add up the time from the first to the last line of each log."""
    spans = []
    for log in logs:
        stamps = STAMP.findall(log.read_text(errors='replace'))
        if stamps:
            try:
                first, last = map(_time_of, (stamps[0], stamps[-1]))
            except ValueError:  # digits that are no time
                continue
            spans.append((last - first).total_seconds())
    return sum(spans) if spans else None


def _time_of(stamp: str) -> datetime:
    return datetime.strptime(stamp, '%Y/%m/%d %H:%M:%S')
