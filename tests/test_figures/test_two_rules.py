# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The statistics of Figure 1 against slow and obvious versions."""

from __future__ import annotations

import numpy as np
import pytest
from figures.pseudo_labels import (
    KINDS,
    Assigned,
    Maps,
    join,
    precision_coverage,
    shares_by_class,
)


@pytest.fixture
def found():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, 60)
    label = np.where(rng.random(60) < 0.6, truth, rng.integers(0, 4, 60))
    active = (rng.random(60) < 0.5) & (label != 2)
    return truth, Assigned(label, rng.integers(0, 9, 60) / 9, active)


def test_shares_by_class(found):
    truth, assigned = found
    # Of five classes the last is nowhere.
    coverage, precision = shares_by_class(truth, assigned, 5)
    rows = list(zip(truth, assigned.label, assigned.active, strict=True))
    for k in range(4):
        own = [a for t, _, a in rows if t == k]
        assert coverage[k] == pytest.approx(np.mean(own))
        taken = [t == k for t, label, a in rows if a and label == k]
        if k == 2:
            assert np.isnan(precision[k])
        else:
            assert precision[k] == pytest.approx(np.mean(taken))
    assert np.isnan(coverage[4]) and np.isnan(precision[4])


def test_the_curve_is_what_every_threshold_gives(found):
    truth, assigned = found
    right = assigned.label == truth
    coverage, precision = precision_coverage(assigned.score, right)
    thresholds = sorted(set(assigned.score), reverse=True)
    assert len(coverage) == len(thresholds)
    for number, threshold in enumerate(thresholds):
        taken = assigned.score >= threshold
        assert coverage[number] == pytest.approx(taken.mean())
        assert precision[number] == pytest.approx(right[taken].mean())
    short = precision_coverage(assigned.score, right, points=3)
    assert len(short[0]) == 3 and short[0][-1] == 1


def test_void_pixels_are_left_out():
    truth = np.array([[0, 255], [1, -1]])
    assigned = Assigned(
        np.array([[5, 6], [7, 8]]), np.eye(2), np.eye(2, dtype=bool)
    )
    joined = join([Maps(truth, dict.fromkeys(KINDS, assigned))] * 2, 2)
    assert joined.truth.tolist() == [0, 1, 0, 1]
    label, score, active = joined.kinds['anchor']
    assert label.tolist() == [5, 7, 5, 7]
    assert score.tolist() == [1, 0, 1, 0] and active.sum() == 2
