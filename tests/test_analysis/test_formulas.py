# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The scores against slow and obvious versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from mmseg_cag.analysis.model_selection.choose import choose, to_markdown
from mmseg_cag.analysis.model_selection.scores import (
    agreement,
    change_light,
    mean_entropy,
    resize,
    soft_neighbourhood_density,
)
from mmseg_cag.evaluation.confusion import class_iou, confusion_matrix


def test_entropy():
    logits = torch.randn(2, 4, 3, 5)
    values = []
    for n, i, j in np.ndindex(2, 3, 5):
        shares = [math.exp(x) for x in logits[n, :, i, j].tolist()]
        shares = [x / sum(shares) for x in shares]
        values.append(-sum(p * math.log(p) for p in shares))
    assert mean_entropy(logits) == pytest.approx(np.mean(values), rel=1e-5)
    even = torch.zeros(1, 4, 2, 2)
    assert mean_entropy(even) == pytest.approx(math.log(4))
    certain = torch.tensor([200.0, 0, 0]).view(1, 3, 1, 1)
    assert mean_entropy(certain) == 0


def slow_density(probabilities, temperature):
    points = probabilities.numpy().astype(float)
    total = 0.0
    for i, one in enumerate(points):
        weights = []
        for j, other in enumerate(points):
            cosine = (
                one @ other / math.sqrt(one @ one) / math.sqrt(other @ other)
            )
            if i != j:
                weights.append(math.exp(cosine / temperature))
        shares = [w / sum(weights) for w in weights]
        total -= sum(p * math.log(p) for p in shares if p)
    return total / len(points)


@pytest.mark.parametrize('chunk', [1, 4, 99])
@pytest.mark.parametrize('temperature', [0.05, 1.0])
def test_neighbourhood_density(chunk, temperature):
    points = torch.randn(11, 5).softmax(1)
    value = soft_neighbourhood_density(points, temperature, chunk)
    assert value == pytest.approx(slow_density(points, temperature), rel=1e-4)


def test_dense_groups_have_a_density_of_their_size():
    groups = torch.eye(3).repeat_interleave(5, 0)
    value = soft_neighbourhood_density(groups)
    assert value == pytest.approx(math.log(4), abs=1e-3)
    # Each alone: all others are equally far.
    assert soft_neighbourhood_density(torch.eye(9)) == pytest.approx(
        math.log(8)
    )


def test_agreement_is_the_share_of_pixels_that_keep_their_class():
    images = torch.randn(1, 3, 8, 16)

    def left_half(x):
        """Class 1 in the left half of any image, else class 0."""
        scores = torch.zeros(len(x), 2, *(n // 2 for n in x.shape[-2:]))
        scores[:, 1, :, : x.shape[-1] // 4] = 1
        scores[:, 0] = 0.5
        return scores

    found = agreement(left_half, images, left_half(images))
    assert found['flip'] == 0
    assert found['scale'] == found['photometric'] == 1

    def brightness(x):
        """Class 1 where the first channel is above 0."""
        return torch.stack([-x[:, 0], x[:, 0]], 1)

    logits = brightness(images)
    found = agreement(brightness, images, logits)
    assert found['flip'] == 1
    changed = 0
    light = change_light(images)
    for i, j in np.ndindex(8, 16):
        changed += (images[0, 0, i, j] > 0) == (light[0, 0, i, j] > 0)
    assert found['photometric'] == pytest.approx(changed / 128)
    small = resize(brightness(resize(images, (6, 12))), (8, 16)).argmax(1)
    share = (small == logits.argmax(1)).float().mean().item()
    assert found['scale'] == pytest.approx(share) and 0 < share < 1


def test_light_is_of_each_image_alone():
    images = torch.randn(2, 3, 4, 4) * torch.tensor([1, 50]).view(2, 1, 1, 1)
    light = change_light(images, 0.5, 2.0)
    for one, other in zip(images, light, strict=True):
        assert other.std() == pytest.approx(one.std().item() / 2, rel=1e-4)
        expected = one.mean() + 2 * one.std()
        assert other.mean() == pytest.approx(expected.item(), rel=1e-3)


def test_source_iou():
    counts = 0
    predicted, truth = [], []
    for _ in range(2):
        logits = torch.randn(1, 3, 4, 6)
        # Class 3 is nowhere: no IoU, so it is in no mean.
        logits = torch.cat([logits, torch.full((1, 1, 4, 6), -9.0)], 1)
        labels = torch.randint(0, 3, (1, 4, 6))
        labels[0, 0, :2] = 255
        counts += confusion_matrix(labels, logits.argmax(1), 4)
        predicted += logits.argmax(1).flatten().tolist()
        truth += labels.flatten().tolist()
    pairs = [(p, t) for p, t in zip(predicted, truth, strict=True) if t < 255]
    shares = []
    for k in range(3):
        both = sum(p == t == k for p, t in pairs)
        either = sum(k in pair for pair in pairs)
        shares.append(both / either)
    found = class_iou(counts)
    assert found.tolist()[:3] == pytest.approx(shares)
    assert found[3].isnan()


def row(name, entropy, snd, miou):
    return dict(
        checkpoint=name,
        stage=None,
        entropy=entropy,
        snd=snd,
        agreement=0.5,
        source_mIoU=50.0,
        mIoU=miou,
    )


ROWS = [
    row('a', 0.5, 5.0, 30.0),
    row('b', 0.2, 4.0, 40.0),
    row('c', 0.3, 6.0, 37.5),
    row('d', 0.4, 7.0, None),
]


def test_choices():
    found = choose(ROWS[:3])
    assert found['entropy'] == dict(
        checkpoint='b', mIoU=40.0, cost=0.0, correlation=1.0
    )
    # 5, 4, 6 against 30, 40, 37.5.
    expected = spearmanr([5, 4, 6], [30, 40, 37.5]).statistic
    assert found['snd'] == dict(
        checkpoint='c', mIoU=37.5, cost=2.5, correlation=expected
    )
    # All agree as much: the last, and no correlation.
    assert found['agreement'] == dict(
        checkpoint='c', mIoU=37.5, cost=2.5, correlation=None
    )
    assert found.pop('last') == found['agreement']
    assert choose(ROWS[:3], is_one_run=False) == found


def test_choices_without_labels():
    found = choose(ROWS)
    assert found['snd']['checkpoint'] == 'd'
    assert found['snd']['mIoU'] is found['snd']['cost'] is None
    assert found['snd']['correlation'] is not None
    blind = [{**r, 'mIoU': None} for r in ROWS]
    for name, choice in choose(blind).items():
        assert choice['checkpoint'] == found[name]['checkpoint']
        assert choice['correlation'] is choice['cost'] is None


def test_the_table():
    text = to_markdown('A run', ROWS, choose(ROWS))
    assert text.startswith('### A run\n\n| checkpoint | stage | entropy ↓ |')
    assert '| d | – | 0.400 | 7.000 | 0.500 | 50.0 | – |' in text
    assert '| entropy ↓ | b | 40.0 | 0.0 | +1.00 |' in text
    assert '| SND ↑ | d | – | – | ' in text
