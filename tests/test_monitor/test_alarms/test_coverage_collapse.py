# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from mmseg_cag.monitor.alarms import Alarm, CoverageCollapse


def record(
    active: float, stage: int = 1, car: float = 0.1, pseudo: float = 0.1
) -> dict:
    """A look: the student predicts car, some active pixels have it."""
    predicted = {'road': 1 - car, 'car': car}
    labels = {'road': 1 - pseudo, 'car': pseudo} if active else {}
    return {
        'stage': stage,
        'active': active,
        'predicted': predicted,
        'pseudo': labels,
    }


def look(records: list[dict], **settings) -> list[list[Alarm]]:
    rule = CoverageCollapse(**settings)
    return [rule.look(record) for record in records]


def test_a_margin_that_lets_nothing_through():
    *before, last = look([record(0.0)] * 5)
    assert not any(before)
    [alarm] = last
    assert alarm.kind == 'coverage' and alarm.name is None
    assert '0.00% of the target pixels' in alarm.message
    assert 'margin' in alarm.message and '\n' not in alarm.message


def test_a_tenth_of_what_the_stage_began_with():
    found = look([record(0.6)] * 5 + [record(0.05)] * 6)
    assert [bool(alarms) for alarms in found] == [False] * 9 + [True] * 2
    assert '60.00% in the stage' in found[-1][0].message
    assert not any(look([record(0.6)] * 5 + [record(0.07)] * 6))
    # A stage is measured by its own beginning.
    assert not any(look([record(0.6)] * 5 + [record(0.05, stage=2)] * 9))


def stageless(active: float) -> dict:
    """A look at a mean teacher, which no car has convinced."""
    return dict(record(active, pseudo=0.0), stage=None)


def test_a_mean_teacher_begins_without_confidence():
    assert not any(look([stageless(0.0)] * 30))
    assert not any(look([stageless(0.004)] * 5 + [stageless(0.0)] * 9))
    rising = [stageless(i / 100) for i in range(60)]
    assert not any(look(rising))
    found = look(rising + [stageless(0.0)] * 9)
    assert [bool(x) for x in found].index(True) == 60 + 4
    [alarm] = found[-1]
    assert alarm.name is None and 'after at most 57.00%' in alarm.message
    assert '\n' not in alarm.message


def test_a_class_that_is_predicted_and_never_assigned():
    found = look([record(0.5, pseudo=0.0)] * 5)
    [alarm] = found[-1]
    assert (alarm.kind, alarm.name) == ('coverage', 'car')
    assert 'predicts it on 10.00%' in alarm.message


@pytest.mark.parametrize(
    'records',
    [
        [record(0.5)] * 20,
        [record(0.02)] * 20,
        [record(0.5, pseudo=0.0)] * 4 + [record(0.5)] + [record(0.5)] * 5,
        [record(0.5, car=0.009, pseudo=0.0)] * 20,  # predicted by chance
        [record(0.5), record(0.0)] * 10,
        [{'predicted': {'car': 0.5}}] * 20,  # no pseudo labels
    ],
)
def test_silence(records):
    assert not any(look(records))


def test_a_run_without_stages():
    looks = [record(0.5) for _ in range(5)] + [record(0.0) for _ in range(5)]
    for one in looks:
        del one['stage']
    assert look(looks)[-1]
