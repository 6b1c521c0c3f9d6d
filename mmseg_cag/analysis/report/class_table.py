# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""IoU of each class: the start of a run, each stage, and what it gained."""

from __future__ import annotations

from dataclasses import dataclass

from .measure import Measured
from .read_json import numbers


@dataclass(frozen=True)
class ClassTable:
    """A table of classes.

    Attributes:
        titles: Of the networks.
        rows: By class, IoU of each network and its difference to the first,
            in percent; None where a class has none.
        mean: The same of the mIoU.
        overall: As `mean`, but of all validation images where each network's
            run recorded its mIoU.
        is_overall_recorded: Whether they did.
        images: On how many images what was not recorded is computed.
        has_gain: Whether the first is what the run started from.
    """

    titles: list[str]
    rows: dict[str, list[tuple[float | None, float | None]]]
    mean: list[tuple[float | None, float | None]]
    overall: list[tuple[float | None, float | None]]
    is_overall_recorded: bool
    images: int | None
    has_gain: bool


def make_table(measured: Measured, classes: list[str]) -> ClassTable | None:
    """Compare the networks of a run that have a score."""
    networks = [n for n in measured.networks if n.title in measured.scores]
    if not networks:
        return None
    scores = [measured.scores[n.title] for n in networks]
    has_gain = networks[0].is_start and len(networks) > 1
    rows = {
        name: _cells([s.iou.get(name) for s in scores], has_gain)
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
        _cells(means, has_gain),
        _cells(recorded if is_recorded else means, has_gain),
        is_recorded,
        max(counted, default=None),
        has_gain,
    )


def _cells(
    values: list[float | None], has_gain: bool
) -> list[tuple[float | None, float | None]]:
    first = values[0] if has_gain else None
    return [
        (v, None if i == 0 or None in (v, first) else v - first)
        for i, v in enumerate(values)
    ]
