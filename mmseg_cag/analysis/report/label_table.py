# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Share of active pixels and their margin, by class and stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .measure import Measured
from .pseudo_labels import UNITS, Activity
from .read_json import numbers
from .run import RecordedRun

Cell = tuple[float | None, float | None]


@dataclass(frozen=True)
class LabelTable:
    """What the labelers of a run's stages assign.

    Attributes:
        titles: Of the stages.
        shares: Of all pixels that are active, in percent.
        rows: By class and stage, the percentage of the pixels that may get
            it as a pseudo label which do, and how sure a label must be; None
            where there is none.
        unit: What says how sure a label is; None where no stage tells.
        origin: What it was counted on.
    """

    titles: list[str]
    shares: list[float | None]
    rows: dict[str, list[Cell]]
    unit: str | None
    origin: str


def make_label_table(
    run: RecordedRun, measured: Measured
) -> LabelTable | None:
    """Compare the stages of a run as the monitor saw them.

    Where none watched, it is what the checkpoints' labelers assign.
    """
    return recorded_table(run) or computed_table(run, measured)


def recorded_table(run: RecordedRun) -> LabelTable | None:
    """Average the looks of each stage, which are of batches of one size."""
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
        f'Mean of {count} looks at batches while training (monitor.jsonl).',
    )


def margins_of(look: dict, classes: list[str]) -> dict[str, float]:
    """Read the margin of each class, which may be one for all."""
    margin = look.get('margin')
    return numbers(
        margin if isinstance(margin, dict) else dict.fromkeys(classes, margin)
    )


def computed_table(run: RecordedRun, measured: Measured) -> LabelTable | None:
    """Compare what the labelers assign on validation images."""
    known = measured.activities
    if not known:
        return None
    first = next(iter(known.values()))
    rows = {
        name: [_cell(activity, k) for activity in known.values()]
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


def _cell(activity: Activity, k: int) -> Cell:
    seen = activity.seen[k]
    threshold = float(activity.threshold[k])
    return (
        100 * float(activity.active[k] / seen) if seen else None,
        threshold if np.isfinite(threshold) else None,
    )
