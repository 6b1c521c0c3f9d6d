# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mmseg_cag.evaluation.bootstrap import (
    bootstrap,
    class_counts,
    f1_of,
    group_sums,
    iou_of,
    mean_of,
)

# How often a class is in an image, its pixels where it is, and how many of
# them are right: two classes are rare, as in most sets of streets.
PRESENCE = np.array([1, 1, 0.9, 0.8, 0.6, 0.4, 0.25, 0.12])
PIXELS = np.array([400, 300, 200, 80, 40, 20, 10, 8])
RIGHT = np.array([0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.5])
TOWN = PRESENCE, PIXELS, RIGHT
# Four of 19 classes are in few images.
CITY = (
    np.array([1.0] * 15 + [0.08] * 4),
    np.array([100] * 15 + [20] * 4),
    np.array([0.8] * 15 + [0.5] * 4),
)


def draw_confusions(
    rng: np.random.Generator, images: int, classes: tuple = TOWN
) -> np.ndarray:
    """Draw confusion matrices (N, K, K) of a large set of images."""
    presence, size_of, share = classes
    size = (images, len(presence))
    pixels = (
        (rng.random(size) < presence) * size_of * rng.lognormal(0, 0.7, size)
    )
    right = pixels * np.clip(rng.normal(share, 0.15, size), 0.02, 1)
    found = np.zeros((images, len(presence), len(presence)))
    for k in range(len(presence)):
        others = np.where(np.arange(len(presence)) == k, 1e-3, size_of / 350)
        shares = rng.dirichlet(others + 0.05, images)
        found[:, k] = (pixels - right)[:, [k]] * shares
        found[:, k, k] += right[:, k]
    return found.round()


def mean_iou(sums: np.ndarray) -> np.ndarray:
    return mean_of(iou_of(sums))


@pytest.mark.parametrize('classes', [TOWN, CITY], ids=['8', '19'])
@pytest.mark.parametrize('images', [50, 200])
def test_intervals_hold_the_true_value_as_often_as_they_say(images, classes):
    rng = np.random.default_rng(images)
    everything = class_counts(draw_confusions(rng, 4000, classes))
    true = iou_of(everything.sum(0)[None])
    held = 0
    for seed in range(200):
        units = everything[rng.choice(4000, images, replace=False)]
        found = bootstrap(units, mean_iou, resamples=300, seed=seed)
        # What a set labels, it tells of.
        known = np.isfinite(iou_of(units.sum(0)[None]))
        expected = mean_of(np.where(known, true, np.nan)).item()
        held += found.low[0] <= expected <= found.high[0]
    assert 0.9 <= held / 200 <= 0.99


def test_a_mean_has_the_interval_of_the_textbook():
    rng = np.random.default_rng(0)
    values = rng.normal(5, 2, 40)
    units = np.stack([values, np.ones(40)], 1)
    found = bootstrap(
        units, lambda sums: sums[:, :1] / sums[:, 1:], resamples=20_000
    )
    expected = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    ends = [found.low[0], found.high[0]]
    np.testing.assert_allclose(ends, expected, atol=0.05)
    assert found.value[0] == pytest.approx(values.mean())


def test_images_that_belong_together_are_drawn_together():
    rng = np.random.default_rng(0)
    images = class_counts(draw_confusions(rng, 20))
    # Each drive of ten images is one image ten times.
    drives = np.repeat(images, 10, 0)
    names = np.repeat([f'drive {i}' for i in range(20)], 10)
    grouped = bootstrap(group_sums(drives, names), mean_iou)
    alone = bootstrap(images, mean_iou)
    wrong = bootstrap(drives, mean_iou)
    width = grouped.high - grouped.low
    np.testing.assert_allclose(width, alone.high - alone.low, rtol=0.15)
    assert (wrong.high - wrong.low)[0] < width[0] / 2


def test_a_paired_difference_is_surer_than_two_intervals():
    rng = np.random.default_rng(0)
    second = draw_confusions(rng, 60)
    first = second.copy()
    # The first network mistakes a tenth less of the commonest class.
    moved = (0.1 * first[:, 0, 1:]).round()
    first[:, 0, 1:] -= moved
    first[:, 0, 0] += moved.sum(1)
    both = np.concatenate([class_counts(first), class_counts(second)], 1)
    half = both.shape[1] // 2
    paired = bootstrap(
        both, lambda s: mean_iou(s[:, :half]) - mean_iou(s[:, half:])
    )
    alone = bootstrap(both[:, :half], mean_iou)
    assert paired.low[0] > 0
    assert paired.high[0] - paired.low[0] < alone.high[0] - alone.low[0]


def test_scores_are_those_of_one_confusion_matrix():
    confusion = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    sums = class_counts(confusion[None])
    np.testing.assert_allclose(iou_of(sums)[0], [6 / 9, 3 / 6, np.nan])
    np.testing.assert_allclose(f1_of(sums)[0], [12 / 15, 6 / 9, np.nan])
    assert mean_of(iou_of(sums))[0, 0] == pytest.approx((6 / 9 + 0.5) / 2)


def test_what_only_one_network_predicts_decides_nothing():
    """A better network that also predicts a class without a label."""
    second = np.stack([np.diag([60, 60, 0]) for _ in range(9)])
    second[:, 0, 1] = second[:, 1, 0] = 40
    first = second.copy()
    first[:, 0] = [70, 25, 5]
    both = np.concatenate([class_counts(first), class_counts(second)], 1)
    paired = bootstrap(both, lambda s: mean_iou(s[:, :9]) - mean_iou(s[:, 9:]))
    assert 0 < paired.low[0] <= paired.value[0]


def test_one_image_and_a_class_that_is_nowhere():
    sums = class_counts(np.array([[[5, 1], [0, 0]]]))
    found = bootstrap(sums, iou_of, resamples=100)
    # One image tells nothing about the spread.
    assert found.value[0] == 5 / 6
    assert np.isnan([found.low, found.high]).all()
    absent = bootstrap(class_counts(np.zeros((3, 2, 2))), iou_of)
    assert np.isnan([absent.value, absent.low, absent.high]).all()
