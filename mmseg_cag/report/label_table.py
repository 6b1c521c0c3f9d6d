# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Share of active pixels and their margin, by class and stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .measure import Measured
from .pseudo_labels import Activity


@dataclass(frozen=True)
class LabelTable:
    """What the labelers of a run's stages assign.

    Attributes:
        titles: Of the networks whose labelers they are.
        shares: Of all pixels that are active, in percent.
        rows: By class and labeler, the percentage of the pixels assigned to
            it that are active and how sure a label must be; None where there
            is none.
        unit: What says how sure a label is.
        images: On how many validation images it is computed.
    """

    titles: list[str]
    shares: list[float]
    rows: dict[str, list[tuple[float | None, float | None]]]
    unit: str
    images: int


def make_label_table(
    measured: Measured, classes: list[str]
) -> LabelTable | None:
    """Compare the labelers of a run's stages."""
    known = measured.activities
    if not known:
        return None
    first = next(iter(known.values()))
    rows = {
        name: [_cell(activity, k) for activity in known.values()]
        for k, name in enumerate(classes)
    }
    shares = [100 * activity.share for activity in known.values()]
    return LabelTable([*known], shares, rows, first.unit, first.images)


def _cell(activity: Activity, k: int) -> tuple[float | None, float | None]:
    seen = activity.seen[k]
    threshold = float(activity.threshold[k])
    return (
        100 * float(activity.active[k] / seen) if seen else None,
        threshold if np.isfinite(threshold) else None,
    )
