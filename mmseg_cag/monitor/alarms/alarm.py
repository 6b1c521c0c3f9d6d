# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from mmengine.dist import master_only
from mmengine.runner import Runner

from mmseg_cag.models.unwrap import current_stage
from mmseg_cag.monitor.record_file import RecordFile

ALARMS = 'alarms.jsonl'


class Alarm(NamedTuple):
    """Something that goes wrong.

    Attributes:
        kind: What.
        name: Of which class; None if it is of none.
        message: One line that says it, and what to do.
    """

    kind: str
    name: str | None
    message: str


@master_only
def write_alarm(runner: Runner, alarm: Alarm) -> None:
    """Name an alarm in the log and in ``alarms.jsonl`` of the work dir."""
    iteration = runner.iter + 1
    about = f' of {alarm.name}' if alarm.name else ''
    runner.logger.warning(
        f'Alarm, {alarm.kind}{about}, iteration {iteration}: {alarm.message}'
    )
    RecordFile(Path(runner.work_dir, ALARMS)).append(
        {
            'iter': iteration,
            'stage': current_stage(runner),
            'alarm': alarm.kind,
            'class': alarm.name,
            'message': alarm.message,
        }
    )


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
