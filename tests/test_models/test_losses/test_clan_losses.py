# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""CLAN's SoftmaxFocalLoss and WeightDiscrepancyLoss, slowly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mmseg_cag.models.losses.softmax_focal_loss import SoftmaxFocalLoss
from mmseg_cag.models.losses.weight_discrepancy_loss import (
    WeightDiscrepancyLoss,
)


@pytest.mark.parametrize('gamma', [0.0, 2.0])
def test_focal_pixel_by_pixel(gamma):
    scores = torch.randn(2, 4, 3, 5, dtype=torch.double)
    label = torch.randint(0, 4, (2, 3, 5))
    label[0, :2] = 255
    terms = []
    for n, i, j in torch.nonzero(label != 255).tolist():
        pixel = scores[n, :, i, j].exp()
        p = (pixel[label[n, i, j]] / pixel.sum()).item()
        terms.append(-((1 - p) ** gamma) * math.log(p))
    loss = SoftmaxFocalLoss(gamma, loss_weight=3.0)(scores, label)
    assert loss.item() == pytest.approx(3 * sum(terms) / len(terms))


def test_focal_of_a_hopeless_pixel_is_finite_and_flat():
    scores = torch.tensor([40.0, 0.0]).view(1, 2, 1, 1).requires_grad_()
    loss = SoftmaxFocalLoss()(scores, torch.ones(1, 1, 1, dtype=torch.long))
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-9), rel=1e-6)
    assert not scores.grad.any()


def test_focal_of_ignored_pixels_is_zero():
    scores = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = SoftmaxFocalLoss()(scores, torch.full((1, 2, 2), 255))
    loss.backward()
    assert loss == 0 and not scores.grad.any()


@pytest.mark.parametrize(
    ('factor', 'cosine'), [(1.0, 1.0), (-2.0, -1.0), (0.0, None)]
)
def test_weights_of_two_classifiers(factor, cosine):
    first, second = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
    if cosine is not None:
        with torch.no_grad():
            for p, q in zip(
                first.parameters(), second.parameters(), strict=True
            ):
                q.copy_(factor * p)
    else:
        one, two = (
            [x for p in m.parameters() for x in p.flatten().tolist()]
            for m in (first, second)
        )
        dot = sum(a * b for a, b in zip(one, two, strict=True))
        cosine = dot / math.hypot(*one) / math.hypot(*two)
    loss = WeightDiscrepancyLoss(loss_weight=0.01)(first, second)
    assert loss.item() == pytest.approx(0.02 * (cosine + 1), abs=1e-7)
