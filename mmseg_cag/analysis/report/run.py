# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Read all records of a run from its work dir, complete or not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from mmengine.config import Config

from mmseg_cag.analysis.runs.run import Run, read_starts
from mmseg_cag.engine.records.do_no_harm_hook import LOOKS
from mmseg_cag.engine.records.result_summary_hook import NOTES, NUMBER
from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.evaluation.uda_iou_metric import TEACHER
from mmseg_cag.fileio.json_file import numbers, read_lines, read_object

MOST = 1000  # maximum stages; a file with more is damaged
STAMP = re.compile(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ', re.M)
# Names to show from mmengine's block "System environment".
ENVIRONMENT = re.compile(
    r'^ {4}(sys\.platform|Python|PyTorch|TorchVision|OpenCV|MMEngine|GPU [^:]+'
    r'|CUDA available|GPU number): (.+)$',
    re.M,
)
HEAD = 20_000  # characters that contain the beginning of a log


@dataclass(frozen=True)
class RecordedRun(Run):
    """A run with all its records.

    Attributes:
        name: Its name in the report.
        configs: The configs it was started with, the earliest first.
        training: Lines of losses and times, by iteration.
        validations: Validation results by iteration.
        monitor: Lines of `monitor.jsonl`.
        anchors: Lines of `anchors.jsonl`.
        alarms: Lines of `alarms.jsonl`; None without a monitor.
        harm: Why adaptation lost to the network before it; None if it did not,
            or without a comparison.
        environment: Versions and devices.
        seconds: Training time; None if no log records it.
        problems: A line for each damaged file.
    """

    name: str
    configs: list[Config]
    training: list[dict]
    validations: dict[int, dict]
    monitor: list[dict]
    anchors: list[dict]
    alarms: list[dict] | None
    harm: str | None
    environment: dict[str, str]
    seconds: float | None
    problems: list[str]

    @property
    def iteration(self) -> int:
        """Return the latest recorded iteration."""
        return max(
            [
                0,
                *(line['iter'] for line in self.training),
                *self.validations,
                *self.checkpoints,
            ]
        )

    @property
    def boundaries(self) -> list[int]:
        """Return the iterations at which a stage ended."""
        if not self.stage_iters or self.iteration > MOST * self.stage_iters:
            return []
        return list(
            range(self.stage_iters, self.iteration + 1, self.stage_iters)
        )

    @property
    def mean_iou(self) -> dict[int, float]:
        """Return validated mIoU in percent, by iteration."""
        return {
            iteration: values['mIoU']
            for iteration, values in self.validations.items()
            if 'mIoU' in numbers(values)
        }

    @property
    def domain_iou(self) -> dict[int, dict[str, float]]:
        """Return mIoU in percent by iteration and domain, or of a teacher."""
        mark, teacher = 'mIoU.', f'{TEACHER}mIoU'
        found = {
            iteration: {
                'teacher' if key == teacher else key.removeprefix(mark): value
                for key, value in numbers(values).items()
                if key.startswith(mark) or key == teacher
            }
            for iteration, values in self.validations.items()
        }
        return {iteration: own for iteration, own in found.items() if own}

    @cached_property
    def looks_by_stage(self) -> dict[str, list[dict]]:
        """Return the monitor's records of pseudo labels, by stage title."""
        stages: dict[str, list[dict]] = {}
        for look in self.monitor:
            if numbers(look.get('coverage')):
                stage = look.get('stage')
                title = f'stage {stage}' if stage else 'training'
                stages.setdefault(title, []).append(look)
        return stages


def read_run(folder: Path, name: str | None = None) -> RecordedRun:
    """Read a work dir; damage is reported, missing records are empty.

    Starts of an earlier run in it are left out.

    Args:
        folder: The work dir.
        name: Name of the run; by default its folder's name.

    Raises:
        MissingFileError: The folder does not exist.
        UserError: It contains no records of a run.
    """
    if not folder.is_dir():
        raise MissingFileError(f'{folder}: work dir not found')
    problems: list[str] = []
    starts, configs = read_starts(folder, problems)
    logs = [log for s in starts for log in sorted(s.glob('*.log'))]
    logs = logs or sorted(folder.glob('*/*.log'))
    lines = read_scalars(starts, problems)
    run = RecordedRun(
        folder=folder,
        cfg=configs[-1] if configs else None,
        name=name or folder.resolve().name,
        configs=configs,
        training=[line for line in lines if 'iter' in numbers(line)],
        validations=read_validations(folder, lines, problems),
        monitor=read_lines(folder / 'monitor.jsonl', problems, ('iter',)),
        anchors=read_lines(folder / 'anchors.jsonl', problems, ('iter',)),
        alarms=read_alarms(folder, problems),
        harm=read_harm(folder, problems),
        environment=read_environment(logs[-1]) if logs else {},
        seconds=measure_seconds(logs),
        problems=problems,
    )
    if not (run.configs or logs or lines or run.checkpoints):
        raise UserError(
            f'{folder}: no config, log or checkpoint, expected the work dir '
            'of a run'
        )
    return run


def read_scalars(starts: list[Path], problems: list[str]) -> list[dict]:
    """Join the lines of all starts; a resumed start replaces later lines."""
    joined: list[dict] = []
    for start in starts:
        path = start / 'vis_data' / 'scalars.json'
        lines = read_lines(path, problems, ('step',))
        if lines:
            first = lines[0]['step']
            joined = [line for line in joined if line['step'] < first]
        joined += lines
    return joined


def read_validations(
    folder: Path, lines: list[dict], problems: list[str]
) -> dict[int, dict]:
    """Read the validations; from the scalars with less detail."""
    found = {
        line['step']: numbers(line)
        for line in lines
        if 'iter' not in line and 'mIoU' in line
    }
    for iteration, values in read_object(folder / NOTES, problems).items():
        if NUMBER.fullmatch(iteration) and isinstance(values, dict):
            found[int(iteration)] = values
        else:
            problems.append(f'{NOTES}: {iteration!r} is no validation')
    return dict(sorted(found.items()))


def read_alarms(folder: Path, problems: list[str]) -> list[dict] | None:
    """Read the alarms; an empty list if a monitor ran without alarms."""
    path = folder / 'alarms.jsonl'
    if path.is_file() or (folder / 'monitor.jsonl').is_file():
        return read_lines(path, problems, ('iter',))
    return None


def read_harm(folder: Path, problems: list[str]) -> str | None:
    """Read why adaptation lost, if it did in the last comparison."""
    looks = read_lines(folder / LOOKS, problems, ('iter',))
    if not looks or not looks[-1].get('lost'):
        return None
    return str(looks[-1].get('reason'))


def read_environment(log: Path) -> dict[str, str]:
    """Read the versions and devices at the beginning of a log."""
    text = log.read_text(errors='replace')[:HEAD]
    return {
        name: value.split(' (')[0] for name, value in ENVIRONMENT.findall(text)
    }


def measure_seconds(logs: Sequence[Path]) -> float | None:
    """Sum the time from the first to the last line of each log."""
    spans = []
    for log in logs:
        stamps = STAMP.findall(log.read_text(errors='replace'))
        if stamps:
            try:
                first, last = map(_time_of, (stamps[0], stamps[-1]))
            except ValueError:  # digits that are no valid time
                continue
            spans.append((last - first).total_seconds())
    return sum(spans) if spans else None


def _time_of(stamp: str) -> datetime:
    return datetime.strptime(stamp, '%Y/%m/%d %H:%M:%S')
