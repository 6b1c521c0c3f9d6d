# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest

from mmseg_cag.monitor.alarms import VanishedClass


def missed(shares: list[float], **settings) -> list[int]:
    """List the looks at which a class is missed."""
    rule = VanishedClass(**settings)
    found = []
    for index, share in enumerate(shares):
        for alarm in rule.look({'predicted': {'car': share, 'road': 0.5}}):
            assert alarm.kind == 'vanished_class' and alarm.name == 'car'
            assert '\n' not in alarm.message
            found.append(index)
    return found


def test_a_class_that_was_always_there_is_missed_soon():
    found = missed([0.1] * 30 + [0.0] * 10)
    # (1 / 31) ^ 3 is below 1e-4, (1 / 31) ^ 2 is not.
    assert found == list(range(32, 40))


def test_a_handful_of_pixels_is_as_good_as_none():
    assert missed([0.1] * 30 + [0.009] * 5)
    assert not missed([0.1] * 30 + [0.011] * 5)


def test_a_class_of_few_images_may_stay_away_longer():
    rng = np.random.default_rng(0)
    shares = list(0.02 * (rng.random(60) < 0.3))
    assert not missed(shares + [0.0] * 12)
    assert missed(shares + [0.0] * 40)


def test_chance_alone_hardly_ever_raises_it():
    rng = np.random.default_rng(1)
    runs = rng.random((300, 100)) < rng.uniform(0.1, 0.9, (300, 1))
    alarms = sum(bool(missed(list(0.05 * run))) for run in runs)
    assert alarms <= 6  # of 30,000 looks


@pytest.mark.parametrize(
    'shares',
    [
        [5e-4] * 30 + [0.0] * 30,  # below the floor
        [0.0] * 60,  # never there
        [0.1, 0.1] + [0.0] * 30,  # hardly known
        [],
    ],
)
def test_silence(shares):
    assert missed(shares) == []


def test_one_that_comes_back_is_no_longer_missed():
    assert missed([0.1] * 30 + [0.0] * 4 + [0.1] * 10)[-1] == 33


def test_the_message_tells_what_was_seen():
    rule = VanishedClass()
    for share in [0.1] * 9 + [0.0] * 9:
        alarms = rule.look({'predicted': {'car': share}})
    assert 'in 9 of 9 records, on 10.00% of the pixels' in alarms[0].message
    assert 'none of the last 9' in alarms[0].message
