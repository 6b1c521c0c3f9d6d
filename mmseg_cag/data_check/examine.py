# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from mmengine.config import Config

from mmseg_cag.datasets.inspection.dataset_inputs import DatasetInput

from .collect import collect
from .consistency import (
    check_anchors,
    check_class_count,
    check_class_names,
    check_count,
    check_overlap,
    check_target,
)
from .contents import check_contents, choose
from .quick_checks import quick_checks
from .report import Part, Report

Progress = Callable[[Iterable, int, str], Iterable]


def silent(items: Iterable, total: int, text: str) -> Iterable:
    """Return the items without showing progress."""
    return items


def examine(
    cfg: Config,
    sample: int | None,
    workers: int,
    progress: Progress = silent,
) -> Report:
    """Check all data that a run of a config reads.

    Args:
        cfg: The run's config.
        sample: Samples of each data set to decode in full; all if None.
        workers: Processes that decode, and threads that open headers.
        progress: Wraps an iteration to show progress.
    """
    readings, findings = collect(cfg)
    parts = [_examine_one(r, sample, workers, progress) for r in readings]
    if readings:
        findings += check_class_names(readings)
        findings += check_class_count(
            cfg.get('model') or {}, len(readings[0].classes)
        )
    listed = [part.reading for part in parts if part.images]
    findings += [*check_anchors(listed), *check_overlap(listed)]
    return Report(parts, findings)


def _examine_one(
    reading: DatasetInput, sample: int | None, workers: int, progress: Progress
) -> Part:
    part = Part(reading)
    part.findings += check_target(reading)
    show = partial(progress, text=f'headers of {reading.key}')
    part.findings += quick_checks(reading, workers, show)
    if part.images:
        part.findings += check_count(reading)
    if not part.has_errors:
        _decode(part, sample, workers, progress)
    return part


def _decode(
    part: Part, sample: int | None, workers: int, progress: Progress
) -> None:
    chosen = choose(part.reading, part.findings, sample)
    text = f'contents of {part.reading.key}'
    show = partial(progress, total=len(chosen), text=text)
    found, part.histogram = check_contents(part.reading, chosen, workers, show)
    part.findings += found
    part.decoded = len(chosen)
