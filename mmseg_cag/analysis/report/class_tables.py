# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Tables by class: IoU of networks and pseudo labels of stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmseg_cag.fileio.json_file import numbers

from .measure import Measured
from .run import RecordedRun
from .score import UNITS, Activity

Cell = tuple[float | None, float | None]


@dataclass(frozen=True)
class ClassTable:
    """A table of classes.

    Attributes:
        titles: Titles of the networks.
        rows: By class, each network's IoU and its gain over the first, in
            percent; None if undefined, or scored on other images.
        mean: The same for the mIoU.
        overall: As `mean`, but over all validation images, if each network's
            run recorded its mIoU.
        is_overall_recorded: Whether they did.
        images: Number of images used to compute unrecorded values.
        has_gain: Whether a network has a gain over the run's start.
        is_unequal: Whether another one was scored on other images than it.
    """

    titles: list[str]
    rows: dict[str, list[Cell]]
    mean: list[Cell]
    overall: list[Cell]
    is_overall_recorded: bool
    images: int | None
    has_gain: bool
    is_unequal: bool


def make_table(measured: Measured, classes: list[str]) -> ClassTable | None:
    """Compare the scored networks of a run."""
    networks = [n for n in measured.networks if n.title in measured.scores]
    if not networks:
        return None
    scores = [measured.scores[n.title] for n in networks]
    whole = list(map(measured.is_whole, scores))
    has_start = networks[0].is_start
    equal = [has_start and is_whole == whole[0] for is_whole in whole]
    rows = {
        name: _cells([s.iou.get(name) for s in scores], equal)
        for name in classes
        if any(name in s.iou for s in scores)
    }
    counted = [s.images for s in scores if s.images is not None]
    means = [s.mean for s in scores]
    recorded = [numbers(n.validation).get('mIoU') for n in networks]
    is_recorded = None not in recorded
    return ClassTable(
        [n.title for n in networks],
        rows,
        _cells(means, equal),
        _cells(recorded, [has_start] * len(means))
        if is_recorded
        else _cells(means, equal),
        is_recorded,
        max(counted, default=None),
        any(equal[1:]),
        has_start and not all(equal),
    )


def _cells(values: list[float | None], equal: list[bool]) -> list[Cell]:
    """Add the gain over the first to values of the same images as its."""
    first = values[0]
    return [
        (v, v - first if i and same and None not in (v, first) else None)
        for i, (v, same) in enumerate(zip(values, equal, strict=True))
    ]


@dataclass(frozen=True)
class LabelTable:
    """Pseudo labels by the teachers of a run's stages.

    Attributes:
        titles: Titles of the stages.
        shares: Share of active pixels, in percent.
        rows: By class and stage, the percentage of its candidate pixels that
            become pseudo labels, and the required confidence; None if missing.
        unit: Measure of confidence; None if no stage records it.
        origin: Data that was counted.
    """

    titles: list[str]
    shares: list[float | None]
    rows: dict[str, list[Cell]]
    unit: str | None
    origin: str


def make_label_table(
    run: RecordedRun, measured: Measured
) -> LabelTable | None:
    """Compare the stages of a run by the monitor's records.

    Without a monitor, compares what the checkpoints' teachers assign.
    """
    return recorded_table(run) or computed_table(run, measured)


def recorded_table(run: RecordedRun) -> LabelTable | None:
    """Average the records of each stage; all batches have one size."""
    stages = run.looks_by_stage
    if not stages:
        return None
    coverage, margins, shares = [], [], []
    for looks in stages.values():
        coverage.append([numbers(look['coverage']) for look in looks])
        margins.append(margins_of(looks[-1], run.classes))
        active = [numbers(look).get('active') for look in looks]
        shares.append(_mean_percent(active))
    rows = {
        name: [
            (_mean_percent([c.get(name) for c in looks]), margin.get(name))
            for looks, margin in zip(coverage, margins, strict=True)
        ]
        for name in run.classes
    }
    count = sum(map(len, stages.values()))
    return LabelTable(
        [*stages],
        shares,
        rows,
        UNITS['anchor'] if any(margins) else None,
        f'Mean of {count} records during training (monitor.jsonl).',
    )


def margins_of(look: dict, classes: list[str]) -> dict[str, float]:
    """Read the margin of each class, or one for all."""
    margin = look.get('margin')
    return numbers(
        margin if isinstance(margin, dict) else dict.fromkeys(classes, margin)
    )


def computed_table(run: RecordedRun, measured: Measured) -> LabelTable | None:
    """Compare the teachers' labels on validation images."""
    known = measured.activities
    if not known:
        return None
    first = next(iter(known.values()))
    rows = {
        name: [_label_cell(activity, k) for activity in known.values()]
        for k, name in enumerate(run.classes)
    }
    return LabelTable(
        [*known],
        [100 * activity.share for activity in known.values()],
        rows,
        first.unit,
        f'Computed on {first.images} of {measured.total} validation images.',
    )


def _mean_percent(shares: list[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return 100 * float(np.mean(known)) if known else None


def _label_cell(activity: Activity, k: int) -> Cell:
    seen = activity.seen[k]
    threshold = float(activity.threshold[k])
    return (
        100 * float(activity.active[k] / seen) if seen else None,
        threshold if np.isfinite(threshold) else None,
    )
