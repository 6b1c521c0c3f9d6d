# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from mmseg_cag.monitor.alarms import Disagreement


def fires(kappas: list[float | None], stages: list[int] | None = None) -> list:
    rule = Disagreement()
    stages = stages or [1] * len(kappas)
    found = []
    for kappa, stage in zip(kappas, stages, strict=True):
        record = {'stage': stage}
        if kappa is not None:
            record['kappa'] = kappa
        found.append(rule.look(record))
    return found


def test_a_student_that_leaves_its_labeler():
    found = fires([0.9, 0.9, 0.8, 0.1, 0.0, 0.0])
    assert [bool(alarms) for alarms in found] == [False] * 4 + [True] * 2
    [alarm] = found[-1]
    assert alarm.kind == 'disagreement' and alarm.name is None
    assert 'is 0.03, down from 0.90' in alarm.message
    assert '\n' not in alarm.message


def test_it_may_break_at_once():
    assert fires([0.9, 0.0, 0.0, 0.0])[3]


@pytest.mark.parametrize(
    'kappas',
    [
        [0.9] + [0.5] * 20,
        [0.9, 0.0, 0.9] * 5,  # a single batch
        [None] * 9,  # no teacher
        [None, 0.9, 0.8, None, 0.8],
    ],
)
def test_silence(kappas):
    assert not any(fires(kappas))


def test_a_stage_is_measured_by_its_own_beginning():
    kappas = [0.9] * 4 + [0.4] * 6
    assert any(fires(kappas))
    assert not any(fires(kappas, [1] * 4 + [2] * 6))
