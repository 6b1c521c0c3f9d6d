# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""ProDA's losses against the formulas written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mmseg_cag.models.losses.denoising_loss import (
    FAR,
    prototype_consistency,
    prototype_distances,
    rectify,
    reverse_cross_entropy,
    uniform_divergence,
)

N, K, C, H, W = 2, 4, 5, 3, 6


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator)


def test_distances_and_their_gradient():
    feat = draw(N, C, H, W).requires_grad_()
    prototypes = draw(K, C, seed=1)
    known = torch.tensor([True, True, False, True])
    distances = prototype_distances(feat, prototypes, known)
    other = feat.detach().clone().requires_grad_()
    expected = (other[:, None] - prototypes[:, :, None, None]).norm(dim=2)
    assert distances[:, 2].eq(FAR).all()
    torch.testing.assert_close(
        distances[:, known], expected[:, known], rtol=1e-5, atol=1e-5
    )
    distances[:, known].sum().backward()
    expected[:, known].sum().backward()
    torch.testing.assert_close(feat.grad, other.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('temperature', [1.0, 3.0])
def test_labels_are_rectified_pixel_by_pixel(temperature):
    probability = draw(N, K, H, W).softmax(1)
    distances = draw(N, K, H, W, seed=1).abs() * 5
    rectified = rectify(probability, distances, temperature)
    for n, y, x in ((0, 0, 0), (1, 2, 5)):
        nearest = distances[n, :, y, x].min()
        weights = [
            math.exp(-(d - nearest) * temperature)
            for d in distances[n, :, y, x]
        ]
        total = sum(weights)
        own = [
            p.item() * w / total
            for p, w in zip(probability[n, :, y, x], weights, strict=True)
        ]
        expected = torch.tensor(own) / sum(own)
        torch.testing.assert_close(rectified[n, :, y, x], expected)


def test_reverse_cross_entropy():
    logits = draw(N, K, H, W) * 4
    labels = torch.arange(N * H * W).view(N, H, W) % (K + 1)
    labels[labels == K] = 255
    expected = []
    for n, y, x in labels.ne(255).nonzero().tolist():
        p = logits[n, :, y, x].softmax(0).clamp(min=1e-7)
        target = torch.full((K,), 1e-4)
        target[labels[n, y, x]] = 1
        expected.append(-(p * target.log()).sum())
    actual = reverse_cross_entropy(logits, labels, 255)
    torch.testing.assert_close(actual, torch.stack(expected).mean())
    nothing = torch.full_like(labels, 255)
    assert reverse_cross_entropy(logits, nothing, 255) == 0


def test_the_regularisation_is_least_where_all_classes_are_alike():
    logits = draw(N, K, H, W)
    expected = -logits.softmax(1).log().sum() / logits.numel()
    torch.testing.assert_close(uniform_divergence(logits), expected)
    alike = uniform_divergence(torch.zeros_like(logits))
    assert alike.item() == pytest.approx(math.log(K))
    assert alike < expected


def test_consistency_counts_seen_pixels_and_all_classes():
    student = draw(N, K, H, W).abs().requires_grad_()
    teacher = draw(N, K, H, W, seed=1).abs()
    seen = draw(N, H, W, seed=2) > 0
    total = 0.0
    for n, y, x in seen.nonzero().tolist():
        t = (-teacher[n, :, y, x]).softmax(0)
        s = (-student[n, :, y, x]).softmax(0)
        total += (t * (t / s).log()).sum()
    loss = prototype_consistency(student, teacher, seen)
    torch.testing.assert_close(loss, total / (seen.sum() * K))
    student.data[:, 1] = FAR
    teacher[:, 1] = FAR
    loss = prototype_consistency(student, teacher, seen)
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all()
    nothing = torch.zeros_like(seen)
    assert prototype_consistency(student, teacher, nothing) == 0
