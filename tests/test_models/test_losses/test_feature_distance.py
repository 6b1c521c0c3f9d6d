# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch

from mmseg_cag.errors import UserError
from mmseg_cag.models.losses.feature_distance import (
    FeatureDistance,
    majority_labels,
)
from tests import release


@pytest.fixture
def case():
    return release.read('feature_distance')


def distance(case, **kwargs) -> FeatureDistance:
    return FeatureDistance(19, case['things'].tolist(), **kwargs)


@pytest.mark.parametrize('which', ['', 'empty_'])
def test_cells_are_those_of_the_release(case, which):
    labels = case[f'{which}label'][:, 0]
    small = majority_labels(labels, (4, 4), 19)
    assert torch.equal(small, case[f'{which}label_small'][:, 0])
    mask = distance(case).mask(labels, (4, 4))
    assert torch.equal(mask, case[f'{which}mask'][:, 0])


def test_loss_and_gradient_are_those_of_the_release(case):
    features = case['student_feature'].clone().requires_grad_()
    loss = distance(case)(
        features, case['imagenet_feature'], case['label'][:, 0]
    )
    torch.testing.assert_close(loss, case['loss'], rtol=3e-6, atol=0)
    loss.backward()
    release.assert_close(features.grad, case['grad'], 3e-6)


@pytest.mark.parametrize('skipped', [False, True])
def test_no_cell_is_no_loss(case, skipped):
    features = case['student_feature'].clone().requires_grad_()
    others = None if skipped else case['imagenet_feature']
    loss = distance(case)(features, others, case['empty_label'][:, 0])
    assert loss == 0
    if not skipped:
        loss.backward()
        assert not features.grad.any()


def test_no_gradient_where_nothing_has_moved(case):
    features = case['student_feature'].clone().requires_grad_()
    loss = distance(case)(
        features, features.detach().clone(), case['label'][:, 0]
    )
    loss.backward()
    assert loss == 0 and not features.grad.any()


def test_all_classes_where_none_is_named():
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[:, :2, :2] = 255
    mask = FeatureDistance(19).mask(labels, (2, 2))
    assert mask.tolist() == [[[False, True], [True, True]]]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(share=75), 'share=75, expected a number in 0..1'),
        (dict(things=[6, 19]), r'things=\[6, 19\], expected .* in 0..18'),
        (dict(things=[-1]), r'things=\[-1\], expected .* in 0..18'),
        (dict(things=[]), r'distance.things=\[\], expected .* None for all'),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(UserError, match=message):
        FeatureDistance(19, **settings)


def test_half_precision_does_not_overflow():
    features = torch.full((1, 64, 1, 1), 100.0, dtype=torch.float16)
    labels = torch.zeros(1, 32, 32, dtype=torch.long)
    loss = FeatureDistance(19)(features, -features, labels)
    assert loss == pytest.approx(0.005 * 200 * 8)


@pytest.mark.parametrize('size', [(64, 96), (50, 70), (33, 64)])
def test_cells_at_a_border_are_filled_with_void(size):
    labels = torch.randint(0, 2, (2, *size))
    labels[:, :, -3:] = 255
    new = tuple(-(-side // 32) for side in size)
    small = majority_labels(labels, new, 3, share=0.4)
    for image in range(2):
        for y in range(new[0]):
            for x in range(new[1]):
                rows, columns = (
                    -(-side // n) for side, n in zip(size, new, strict=True)
                )
                cell = labels[
                    image,
                    y * rows : (y + 1) * rows,
                    x * columns : (x + 1) * columns,
                ]
                area = rows * columns
                votes = [(cell == c).sum().item() for c in range(3)]
                void = area - sum(votes)
                best = max(range(3), key=lambda c: votes[c])
                wins = votes[best] >= max(void, 0.4 * area)
                assert small[image, y, x] == (best if wins else 255)
