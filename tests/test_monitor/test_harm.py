# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmseg_cag.monitor.harm import (
    Limits,
    Seen,
    kappa,
    lacks_labels,
    signs_of_harm,
)

CLASSES = ['road', 'building', 'car', 'person']


def pixels(*shares: int) -> np.ndarray:
    """A prediction of 100 pixels with so many of each class."""
    return np.repeat(range(len(shares)), shares)


BEFORE = Seen(pixels(50, 40, 10, 0), pixels(45, 44, 10, 1))


def signs(target: np.ndarray, source: np.ndarray | None = None, *remedies):
    now = Seen(target, BEFORE.source if source is None else source)
    return signs_of_harm(BEFORE, now, remedies, CLASSES, Limits())


def test_nothing_is_wrong_where_predictions_change_a_little():
    assert signs(BEFORE.target) == []
    assert signs(pixels(40, 40, 15, 5)) == []


def test_a_rare_class_explodes():
    [sign] = signs(pixels(40, 25, 10, 25))
    assert sign == (
        'person is predicted on 25.0% of the target, at most 1.0% is explained'
    )


def test_a_large_class_explodes_by_its_odds():
    found = signs(pixels(94, 3, 3, 0))
    assert found[0].startswith('road is predicted on 94.0%')
    assert signs(pixels(80, 15, 5, 0)) == []


def test_a_class_that_grows_eightfold_is_no_sign():
    # A pole of minitown, in a run that gained 11.8 points of mIoU.
    before = Seen(pixels(50, 48, 1, 1), pixels(50, 48, 1, 1))
    grown, exploded = pixels(45, 46, 1, 8), pixels(43, 45, 1, 11)
    for target, signs in ((grown, 0), (exploded, 1)):
        now = Seen(target, before.source)
        found = signs_of_harm(before, now, [], CLASSES, Limits())
        assert len(found) == signs


def test_what_a_remedy_predicts_explains_it():
    assert signs(pixels(40, 25, 10, 25), None, pixels(60, 20, 10, 10)) == []


def test_classes_vanish():
    found = signs(pixels(80, 0, 20, 0))
    assert found == ['building vanished, 40.0% of the target']
    # Less than a sixth of the odds of 10 % is left, but of 4 % too little.
    assert signs(pixels(56, 43, 1, 0))
    # An eighth of them is.
    before = Seen(pixels(38, 50, 12, 0), pixels(39, 49, 12, 0))
    now = Seen(pixels(40, 58, 2, 0), before.source)
    assert signs_of_harm(before, now, [], CLASSES, Limits())
    before = Seen(pixels(54, 42, 4, 0), pixels(50, 45, 4, 1))
    now = Seen(pixels(58, 42, 0, 0), before.source)
    assert signs_of_harm(before, now, [], CLASSES, Limits()) == []


def test_the_source_is_forgotten():
    swapped = 1 - BEFORE.source.clip(0, 1)
    [sign] = signs(BEFORE.target, swapped)
    assert sign.startswith('on the source it agrees')


def test_kappa_is_one_of_the_same_and_none_by_chance():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, (2, 40_000))
    assert kappa(one, one, 4) == 1
    assert kappa(one, other, 4) == pytest.approx(0, abs=0.02)
    assert kappa(one * 0, one * 0, 4) == 1


def look(active: float, stage: int | None = 1) -> dict:
    record = {'iter': 1, 'active': active}
    return record if stage is None else {**record, 'stage': stage}


def test_a_stage_without_pseudo_labels():
    few = [look(0.004)] * 5
    assert lacks_labels(few, Limits()) == (
        'only 0.40% of the target has a pseudo label'
    )
    assert lacks_labels(few[1:], Limits()) is None
    assert lacks_labels([look(0.0)] * 5 + [look(0.4, 2)] * 5, Limits()) is None
    assert lacks_labels([*few, look(0.4)], Limits()) is None
    assert lacks_labels([look(0.0, None)] * 5, Limits()) is None
    assert lacks_labels([], Limits()) is None


# What version 0.1's CAG made of version 0.1's source-only network of minitown,
# margin 'auto' and norm_eval=True: 'drawn to real' with CamVid's streets as
# the target (batch 2 + 2, one stage of 60), 'good' with its own target town.
# Shares of the pixels of 16 images of each domain, and kappa on the source.
RECORDED = json.loads(
    Path(__file__).with_name('recorded_harm.json').read_text()
)


def drawn(shares: list[float], number: int = 20_000) -> np.ndarray:
    """A prediction of so many pixels with these shares."""
    ends = np.round(np.cumsum(shares) * number).astype(int)
    return np.searchsorted(ends, np.arange(ends[-1]), side='right')


def recorded_signs(name: str) -> dict[int, list[str]]:
    """List the signs at each look of a recorded run."""
    run = RECORDED['runs'][name]
    before = Seen(drawn(run['target']), drawn(run['source']))
    found = {}
    for look in run['looks']:
        source = before.source.copy()
        # As many pixels differ as it takes for the recorded kappa.
        others = np.random.default_rng(0).permutation(len(source))
        moved = others[: round(len(source) * (1 - look['kept']))]
        source[moved] = source[np.roll(moved, 1)]
        found[look['iter']] = signs_of_harm(
            before,
            Seen(drawn(look['target']), source),
            [drawn(run['reestimated'])],
            RECORDED['classes'],
            Limits(),
        )
    return found


def test_drawn_to_real_is_harm_within_its_first_stage():
    found = recorded_signs('drawn to real')
    assert found.pop(10) == []
    assert all(len(signs) == 1 for signs in found.values())
    assert found[60][0].startswith('person is predicted on 9.9%')


def test_a_good_run_of_the_same_settings_is_none():
    assert not any(recorded_signs('good').values())


def test_a_learning_rate_a_hundred_times_too_high_is_harm_at_once():
    assert len(recorded_signs('rate x100')[10]) == 3


@pytest.mark.parametrize('name', ['good', 'drawn to real'])
def test_the_truth_is_no_harm(name):
    run = RECORDED['runs'][name]
    before = Seen(drawn(run['target']), drawn(run['source']))
    now = Seen(drawn(run['truth']), before.source)
    remedies = [drawn(run['reestimated'])]
    classes = RECORDED['classes']
    assert signs_of_harm(before, now, remedies, classes, Limits()) == []
