# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .alarm import Alarm


class Rule(Protocol):
    """Says of each record of a run, in their order, what is wrong."""

    def look(self, record: dict) -> list[Alarm]:
        """List what is wrong as of this record."""


class AlarmWatch:
    """Ask rules of each record and raise each alarm once an occurrence.

    What it knows comes from the records alone: to show it those of an
    interrupted run again is to restore it.

    Args:
        rules: What to ask.
        rest: Records without it after which an alarm is raised anew.
    """

    def __init__(self, rules: Sequence[Rule], rest: int = 5) -> None:
        self.rules = rules
        self.rest = rest
        self._position = 0
        self._last: dict[tuple[str, str | None], int] = {}

    def look(self, record: dict) -> list[Alarm]:
        """List the alarms that this record raises."""
        self._position += 1
        return [
            alarm
            for rule in self.rules
            for alarm in rule.look(record)
            if self._is_new(alarm)
        ]

    def _is_new(self, alarm: Alarm) -> bool:
        key = (alarm.kind, alarm.name)
        last = self._last.get(key)
        self._last[key] = self._position
        return last is None or self._position - last > self.rest
