# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections import deque
from statistics import mean

from .alarm import Alarm


class Disagreement:
    """A student that contradicts the teacher it was as the stage began.

    Measured by Cohen's kappa, the agreement beyond chance: of two networks
    that both predict mostly road, a large part of the pixels agree whatever
    the rest has become.

    Args:
        window: Records that are averaged.
        fall: Share of the kappa of the stage's first record, when student and
            teacher differ by dropout and batch norm alone, that must be left.
    """

    def __init__(self, window: int = 3, fall: float = 0.5) -> None:
        self.fall = fall
        self._recent: deque[float] = deque(maxlen=window)
        self._stage: int | None = None
        self._start: float | None = None

    def look(self, record: dict) -> list[Alarm]:
        """Tell whether student and teacher are too far apart."""
        if 'kappa' not in record:
            return []
        if record.get('stage') != self._stage or self._start is None:
            self._stage = record.get('stage')
            self._start = record['kappa']
            self._recent.clear()
        self._recent.append(record['kappa'])
        now = mean(self._recent)
        full = len(self._recent) == self._recent.maxlen
        if not full or now >= self.fall * self._start:
            return []
        message = (
            f'kappa of student and teacher is {now:.2f}, as the stage began '
            f'it was {self._start:.2f}: the student has left what its labels '
            "were made by; lower the optimizer's lr and go back to a "
            'checkpoint before this'
        )
        return [Alarm('disagreement', None, message)]
