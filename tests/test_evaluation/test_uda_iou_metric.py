# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmseg.registry import METRICS

from tests import tiny

CLASSES = ['road', 'wall', 'sky', 'car', 'train']
SETS = dict(mIoU4=['sky', 'road', 'car', 'wall'], mIoU2=['car', 'road'])


def build(**kwargs):
    metric = METRICS.build(dict(type='UDAIoUMetric', **kwargs))
    metric.dataset_meta = dict(classes=CLASSES)
    return metric


def pairs(absent: tuple[int, ...] = (), sizes: tuple = ((4, 6), (5, 3))):
    """Draw predictions and labels, some void, without some classes."""
    rng = np.random.default_rng(0)
    known = [k for k in range(len(CLASSES)) if k not in absent]
    for size in sizes:
        yield rng.choice(known, size), rng.choice([*known, tiny.VOID], size)


def run(metric, drawn) -> dict:
    for prediction, label in drawn:
        sample = {
            'pred_sem_seg': {'data': torch.tensor(prediction)[None]},
            'gt_sem_seg': {'data': torch.tensor(label)[None]},
        }
        metric.process({}, [sample])
    return metric.evaluate(len(metric.results))


def slow_iou(drawn) -> list[float]:
    """Count pixel by pixel; NaN where there is nothing to count."""
    confusion = np.zeros((len(CLASSES), len(CLASSES)), int)
    for prediction, label in drawn:
        for p, y in zip(prediction.ravel(), label.ravel(), strict=True):
            if y != tiny.VOID:
                confusion[y, p] += 1
    values = []
    for k in range(len(CLASSES)):
        union = confusion[k].sum() + confusion[:, k].sum() - confusion[k, k]
        values.append(100 * confusion[k, k] / union if union else math.nan)
    return values


def mean(values: list[float], names: list[str]) -> float:
    rows = [values[CLASSES.index(name)] for name in names]
    return np.mean([value for value in rows if not math.isnan(value)])


@pytest.mark.parametrize('absent', [(), (4,), (1, 4)])
def test_sets_are_means_of_rows(absent):
    metrics = run(build(class_sets=SETS), pairs(absent))
    iou = slow_iou(pairs(absent))
    assert metrics['mIoU'] == pytest.approx(mean(iou, CLASSES), abs=0.006)
    for name, chosen in SETS.items():
        assert metrics[name] == pytest.approx(mean(iou, chosen), abs=0.006)
    for name, value in zip(CLASSES, iou, strict=True):
        assert (f'IoU.{name}' in metrics) == (not math.isnan(value))
        if not math.isnan(value):
            assert metrics[f'IoU.{name}'] == pytest.approx(value, abs=0.006)


def test_a_confusion_matrix_by_hand():
    # Truth by row, prediction by column: road, wall, sky.
    confusion = [[6, 0, 2], [1, 3, 0], [0, 0, 4]]
    label, prediction = [], []
    for y, row in enumerate(confusion):
        for p, count in enumerate(row):
            label += [y] * count
            prediction += [p] * count
    drawn = [(np.array([prediction]), np.array([label]))]
    metrics = run(build(class_sets=dict(some=['road', 'wall'])), drawn)
    assert metrics['IoU.road'] == 66.67  # 6 / (8 + 7 - 6)
    assert metrics['IoU.wall'] == 75.0  # 3 / (4 + 3 - 3)
    assert metrics['IoU.sky'] == 66.67  # 4 / (4 + 6 - 4)
    # Road that was taken for sky counts, though sky is not in the set.
    assert metrics['some'] == 70.83
    assert metrics['mIoU'] == 69.44
    matrix = MessageHub.get_current_instance().pop_info('confusion_matrix')
    assert [row[:3] for row in matrix[:3]] == confusion
    assert sum(map(sum, matrix)) == sum(map(sum, confusion))


def test_ignored_pixels_are_not_in_the_confusion_matrix():
    drawn = list(pairs())
    run(build(), drawn)
    matrix = MessageHub.get_current_instance().pop_info('confusion_matrix')
    expected = np.zeros((5, 5), int)
    for prediction, label in drawn:
        for p, y in zip(prediction.ravel(), label.ravel(), strict=True):
            if y != tiny.VOID:
                expected[y, p] += 1
    assert matrix == expected.tolist()


def test_a_class_without_a_label_that_is_predicted_has_zero():
    prediction, label = np.array([[0, 0, 4]]), np.array([[0, 0, 0]])
    metrics = run(build(), [(prediction, label)])
    assert metrics['IoU.train'] == 0
    assert metrics['mIoU'] == 33.33
    assert 'IoU.car' not in metrics


def test_the_mean_of_a_domain_is_over_what_it_labels():
    metric = build()
    for domain in (
        dict(domain='all'),
        dict(domain='some', absent=(CLASSES.index('train'),)),
    ):
        sample = dict(
            pred_sem_seg=dict(data=torch.tensor([[[0, 1, 4, 1]]])),
            gt_sem_seg=dict(data=torch.tensor([[[0, 0, 1, 1]]])),
            **domain,
        )
        metric.process({}, [sample])
    metrics = metric.evaluate(2)
    # road 1/2, wall 1/3, and train 0 where it is labelled
    assert metrics['mIoU.all'] == metrics['mIoU'] == 27.78
    assert metrics['mIoU.some'] == 41.67


def test_a_class_that_is_nowhere_may_count_as_a_number():
    drawn = [(np.zeros((2, 2), int), np.zeros((2, 2), int))]
    sets = dict(some=['road', 'car'])
    metrics = run(build(class_sets=sets, nan_to_num=0), drawn)
    assert metrics['mIoU'] == 20
    assert metrics['some'] == 50
    assert metrics['IoU.car'] == 0


def test_values_are_plain_numbers():
    for value in run(build(class_sets=SETS), pairs()).values():
        assert type(value) is float


def test_the_log_says_once_what_was_computed(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmseg_cag.evaluation.uda_iou_metric.print_log',
        lambda line, logger: lines.append(line),
    )
    metric = build(class_sets=SETS)
    run(metric, pairs((4,)))
    text = '\n'.join(lines)
    assert 'mIoU: the mean over all 5 classes' in text
    assert 'mIoU2: the mean over 2 of them, without sky, train, wall' in text
    assert 'Evaluated at 6x4, 3x5 (width x height)' in text
    assert 'excluded from the means: train' in text
    lines.clear()
    run(metric, pairs())
    assert not lines


def test_an_unknown_class_is_named_before_anything_is_evaluated():
    metric = METRICS.build(
        dict(type='UDAIoUMetric', class_sets=dict(mIoU16=['road', 'van']))
    )
    message = "class_sets.mIoU16: 'van' is no class .* road, wall"
    with pytest.raises(ValueError, match=message):
        metric.dataset_meta = dict(classes=CLASSES)


def test_a_metric_without_iou_is_refused():
    with pytest.raises(ValueError, match='expected mIoU'):
        build(iou_metrics=['mDice'])


def test_each_domain_of_a_pool_has_its_own_mean():
    drawn = [*pairs(sizes=((4, 6), (5, 3), (3, 7)))]
    domains = ['city', 'fog', 'city']
    metric = build()
    plain = run(build(), drawn)
    for domain, (prediction, label) in zip(domains, drawn, strict=True):
        sample = {
            'pred_sem_seg': {'data': torch.tensor(prediction)[None]},
            'gt_sem_seg': {'data': torch.tensor(label)[None]},
            'domain': domain,
        }
        metric.process({}, [sample])
    found = metric.evaluate(3)
    for domain, own in (('city', drawn[::2]), ('fog', drawn[1:2])):
        expected = np.nanmean(slow_iou(own))
        assert found.pop(f'mIoU.{domain}') == round(expected, 2)
    assert found == plain
