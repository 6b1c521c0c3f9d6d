# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mmengine.dist import master_only
from mmengine.runner import Runner

from mmseg_cag.engine.stage_hook import current_stage
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
