# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Distances and drift of each stage's anchors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mmseg_cag.analysis.runs.network import State
from mmseg_cag.fileio.json_file import numbers

# legend: K classes, C feature channels


@dataclass(frozen=True)
class Anchors:
    """A stage's anchors in a checkpoint.

    Attributes:
        means: Anchors (K, C).
        counts: Number of samples of each mean (K,); 0 if there is no anchor.
    """

    means: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Geometry:
    """Geometry of a stage's anchors.

    Attributes:
        title: Title of the stage.
        distances: Euclidean (K, K), NaN without an anchor.
        drift: Euclidean distance to the previous stage's anchor, by class.
    """

    title: str
    distances: np.ndarray
    drift: dict[str, float]


def anchors_of(state: State) -> Anchors | None:
    """Extract the anchors of a checkpoint, if it has any."""
    counts = state.get('anchor_bank.counts')
    if counts is None or not counts.any():
        return None
    return Anchors(
        state['anchor_bank.anchors'].double().numpy(), counts.numpy()
    )


def recorded_geometry(records: list[dict], classes: list[str]) -> list:
    """Read the geometry of each stage from `anchors.jsonl`."""
    found = []
    for record in records:
        try:
            distances = np.array(record['distances'], float)
        except (KeyError, TypeError, ValueError):
            continue
        if distances.shape == (len(classes), len(classes)):
            distances[~np.isfinite(distances)] = np.nan
            title = f'stage {record.get("stage", len(found) + 1)}'
            drift = numbers(record.get('drift'))
            found.append(Geometry(title, distances, drift))
    return found


def computed_geometry(
    anchors: dict[str, Anchors], classes: list[str]
) -> list[Geometry]:
    """Compute the geometry of each stage from its checkpoint."""
    found, before = [], None
    for title, now in anchors.items():
        means = torch.from_numpy(now.means)
        distances = torch.cdist(means, means).numpy()
        absent = now.counts == 0
        distances[absent[:, None] | absent] = np.nan
        drift = measure_drift(before, now, classes) if before else {}
        found.append(Geometry(title, distances, drift))
        before = now
    return found


def measure_drift(
    before: Anchors, now: Anchors, classes: list[str]
) -> dict[str, float]:
    """Compute the drift of each anchor that both stages have."""
    moved = np.linalg.norm(now.means - before.means, axis=1)
    both = (now.counts > 0) & (before.counts > 0)
    rows = zip(classes, moved, both, strict=True)
    return {name: float(value) for name, value, kept in rows if kept}
