# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from mmseg_cag.monitor.alarms import ExplodedClass


def exploded(
    shares: list[float], source: float = 0.004, **settings
) -> list[int]:
    """List the looks at which a class has exploded."""
    rule = ExplodedClass(**settings)
    found = []
    for index, share in enumerate(shares):
        record = {
            'predicted': {'person': share, 'road': 1 - share},
            'source': {'person': source, 'road': 1 - source},
        }
        for alarm in rule.look(record):
            assert alarm.kind == 'exploded_class' and alarm.name == 'person'
            assert '\n' not in alarm.message
            found.append(index)
    return found


def test_a_rare_class_that_grows_to_a_quarter():
    # 0.4 % of the source, 25 % of the predictions within a stage.
    grown = [0.01, 0.04, 0.08, 0.1, 0.06, 0.12, 0.25, 0.14, 0.18, 0.16]
    assert exploded(grown) == [7, 8, 9]


@pytest.mark.parametrize(
    ('shares', 'source'),
    [
        ([0.0] + [0.09] * 30, 0.004),  # below the floor
        ([0.0] + [0.25] * 30, 0.06),  # the source has it as well
        ([0.06] + [0.25] * 30, 0.004),  # so it was as the run began
        ([0.0, 0.5] + [0.01] * 30, 0.004),  # one look of a few crops
        ([], 0.004),
    ],
)
def test_silence(shares, source):
    assert exploded(shares, source) == []


def test_a_large_class_explodes_by_its_odds():
    assert exploded([0.4] + [0.95] * 9, 0.4)
    assert not exploded([0.4] + [0.75] * 9, 0.4)


def test_records_without_labels_of_the_source_tell_nothing():
    assert ExplodedClass().look({'predicted': {'car': 1.0}}) == []
