# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What the text log of a run tells: versions and time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

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
