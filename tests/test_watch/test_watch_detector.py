# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The sequential test: its formula, and how often it is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmseg_cag.watch.detector import POWER, Detector
from mmseg_cag.watch.keeper import Keeper
from mmseg_cag.watch.tail import RAREST, SHARE, Tail


def test_evidence_is_the_best_product_of_bets():
    rarities = np.random.default_rng(0).uniform(size=60)
    detector = Detector(correlation=4, limit=1e9)
    bets = (POWER * rarities ** (POWER - 1)) ** (1 / 4)
    for n, rarity in enumerate(rarities, 1):
        detector.add(rarity)
        products = [np.prod(bets[start:n]) for start in range(n + 1)]
        assert math.exp(detector.evidence) == pytest.approx(max(products))


def count_alarms(detector: Detector, rarities: np.ndarray) -> int:
    return sum(map(detector.add, rarities))


def test_alike_frames_alarm_no_more_often_than_promised():
    rng, alike, limit = np.random.default_rng(1), 5, 200
    shots = rng.uniform(size=10_000)
    found = count_alarms(Detector(alike, limit), shots.repeat(alike))
    assert 0 < found <= 10_000 * alike / limit
    # Planted: a test that takes frames for independent breaks the promise.
    wrong = count_alarms(Detector(1, limit), shots.repeat(alike))
    assert wrong > 10_000 * alike / limit


def test_a_shift_is_told_once_and_again_after_it_has_ended():
    detector = Detector(correlation=10, limit=1e5)
    assert not any(map(detector.add, [1.0] * 100))
    told = [detector.add(RAREST) for _ in range(50)]
    assert told.index(True) < 15 and sum(told) == 1
    assert not any(map(detector.add, [1.0] * 200))
    assert not detector.is_alarmed
    assert sum(map(detector.add, [RAREST] * 50)) == 1


def test_the_tail_of_an_exponential_is_its_own():
    scores = np.random.default_rng(2).exponential(size=200_000)
    tail = Tail.fit(scores, correlation=1)
    assert tail.typical == pytest.approx(math.log(2), rel=0.02)
    assert tail.rarity(tail.start) == 1
    assert tail.rarity(6.0) == pytest.approx(math.exp(-6), rel=0.2)
    # Frames that are alike count as one: the tail is taken to be longer.
    wary = Tail.fit(scores[:2000], correlation=100)
    assert wary.rarity(6.0) > 2 * math.exp(-6)
    constant = Tail.fit(np.ones(100), 1)
    assert constant.rarity(1.0) == 1
    assert constant.rarity(1.1) == RAREST
    assert SHARE > RAREST
    # Beyond the bound only the surprise grows.
    assert tail.rarity(900) == tail.rarity(1000) == RAREST
    assert -math.log(RAREST) < tail.surprise(900) < tail.surprise(1000)
    assert tail.surprise(6.0) == pytest.approx(-math.log(tail.rarity(6.0)))
    assert tail.rarity(math.nan) == pytest.approx(RAREST)
    assert tail.rarity(math.inf) == pytest.approx(RAREST)


def test_the_most_surprising_frames_are_kept_one_of_a_place():
    keeper = Keeper(budget=2, apart=10)
    assert keeper.offer(0, 0.0) == (False, [])
    assert keeper.offer(1, 2.0) == (True, [])
    assert keeper.offer(5, 1.0) == (False, [])
    assert keeper.offer(6, 3.0) == (True, [1])
    assert keeper.offer(20, 1.0) == (True, [])
    assert keeper.offer(40, 0.5) == (False, [])
    assert keeper.offer(41, 2.0) == (True, [20])
    assert keeper.kept == {6: 3.0, 41: 2.0}
    assert Keeper(0, 1).offer(0, 1.0) == (False, [])
