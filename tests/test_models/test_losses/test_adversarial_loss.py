# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math

import pytest
import torch

from mmseg_cag.models.losses.adversarial_loss import AdversarialLoss


def slow_entropy(logit: float, domain: int) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -math.log(p if domain else 1 - p)


@pytest.mark.parametrize('domain', [0, 1])
@pytest.mark.parametrize('least_squares', [False, True])
@pytest.mark.parametrize('weighted', [False, True])
def test_pixel_by_pixel(domain, least_squares, weighted):
    judged = torch.randn(2, 1, 3, 4, dtype=torch.double)
    weights = torch.rand(2, 1, 3, 4, dtype=torch.double) if weighted else None
    terms = []
    for index, x in enumerate(judged.flatten().tolist()):
        loss = (x - domain) ** 2 if least_squares else slow_entropy(x, domain)
        if weighted:
            loss *= 0.3 + 7 * weights.flatten()[index].item()
        terms.append(loss)
    loss = AdversarialLoss(least_squares, pixel_weights=(0.3, 7.0))
    assert loss(judged, domain, weights).item() == pytest.approx(
        sum(terms) / len(terms)
    )


def test_large_logits_are_finite():
    judged = torch.tensor([[[[500.0, -500.0]]]])
    assert AdversarialLoss()(judged, 0) == 250
