# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Anchors and margins that follow the network, step by step."""

from __future__ import annotations

import math

import pytest
import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_cag.models.anchors.class_scores import ClassScores, best_two
from mmseg_cag.models.anchors.pseudo_label_head import smallest_margin
from mmseg_cag.models.anchors.running_margin import RunningMargin

K, C = 4, 6


def draw(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Labels, gaps and truth: the larger the gap the more often right."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 32, 32)
    truth = torch.randint(0, K + 1, shape, generator=generator)
    truth[truth == K] = 255
    gap = torch.rand(shape, generator=generator) * 3
    right = torch.rand(shape, generator=generator) * 3 < gap + 0.5
    other = (truth + 1) % K
    return torch.where(right & (truth < K), truth, other % K), gap, truth


@pytest.mark.parametrize('precision', [0.5, 0.7, 0.9])
def test_the_margin_is_that_of_the_pixels_up_to_a_bin(precision):
    label, gap, truth = draw()
    running = RunningMargin(K)
    running.add(label, gap, truth)
    known = truth < K
    expected = smallest_margin(gap[known], (label == truth)[known], precision)
    [actual] = set(running.margin(precision).tolist())
    assert expected / 1.04 - 1e-3 <= actual <= expected * 1.04 + 1e-3


def test_each_class_has_its_own_margin():
    label, gap, truth = draw()
    truth = truth.where(label != 2, 3)  # what is labelled 2 is always wrong
    running = RunningMargin(K)
    running.add(label, gap, truth)
    own = running.margin(0.8, per_class=True)
    assert own[2] == math.inf and own.isfinite().sum() == K - 1
    shared = running.margin(0.8)
    assert shared.shape == (K,) and len(set(shared.tolist())) == 1


def test_nothing_is_assigned_before_anything_is_known():
    running = RunningMargin(K)
    assert running.margin(0.9).eq(math.inf).all()
    label, gap, truth = draw()
    running.add(label, torch.full_like(gap, math.nan), truth)
    running.add(label, gap, torch.full_like(truth, 255))
    assert running.margin(0.0).eq(math.inf).all()


def test_older_batches_fade():
    label, gap, truth = draw()
    running = RunningMargin(K, momentum=0.5)
    running.add(label, gap, (label + 1) % K)  # all wrong
    for _ in range(30):
        running.add(label, gap, label)  # all right
    assert running.margin(0.99).max() < 0.1


def bank(**kwargs) -> torch.nn.Module:
    cfg = dict(type='AnchorBank', num_classes=K, channels=C)
    return MODELS.build({**cfg, **kwargs})


def features(seed: int, images: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    feat = torch.randn(images, C, 5, 7, generator=generator)
    logits = torch.randn(images, K, 5, 7, generator=generator)
    labels = torch.randint(0, K + 1, (images, 5, 7), generator=generator)
    return feat, logits, labels


@pytest.mark.parametrize('cap', [10_000, 30])
def test_anchors_follow_pixel_by_pixel(cap):
    own = bank(level='pixel', cap=cap)
    means = [torch.zeros(C, dtype=torch.float64) for _ in range(K)]
    counts = [0] * K
    for seed in range(5):
        feat, logits, labels = features(seed)
        own.follow(feat, logits, labels)
        pixels = feat.movedim(1, -1)
        for k in range(K):
            new = pixels[labels == k].double()
            before, n = counts[k], len(new)
            if n:
                total = means[k] * before + new.sum(0)
                means[k] = total / (before + n)
            counts[k] = min(before + n, cap)
    expected = torch.stack(means).float()
    torch.testing.assert_close(own.anchors, expected, rtol=1e-5, atol=1e-5)
    assert own.counts.tolist() == counts


def test_anchors_follow_image_by_image_where_predicted():
    own, other = bank(level='image', min_pixels=2), bank(level='image')
    other.min_pixels = 2
    means = other.new_centroids()
    for seed in range(4):
        batch = features(seed, images=1)
        own.follow(*batch)
        other.accumulate(means, *batch)
    other.store(means)
    torch.testing.assert_close(own.anchors, other.anchors)
    assert torch.equal(own.counts, other.counts)
    assert own.counts.any()


def test_scores_at_another_size_are_of_resized_squares():
    own = bank(level='pixel')
    feat, logits, labels = features(0)
    labels[labels == 1] = 255  # no anchor of that class
    own.follow(feat, logits, labels)
    scores = ClassScores(own, 1.0, align_corners=False)
    label, gap = best_two(scores(feat, logits, 'anchor'))
    expected, gaps = own.nearest(feat)
    assert torch.equal(label, expected)
    torch.testing.assert_close(gap, gaps)
    label, gap = best_two(
        scores(feat, logits.new_zeros(2, K, 15, 28), 'anchor')
    )
    squares = own.distances(feat).square().nan_to_num(posinf=1e6)
    resized = torch.nn.functional.interpolate(
        squares, (15, 28), mode='bilinear'
    )
    assert torch.equal(label, resized.argmin(1))
    two = resized.topk(2, 1, largest=False).values.sqrt()
    torch.testing.assert_close(gap, two[:, 1] - two[:, 0])
    assert not (label == 1).any() and gap.isfinite().all()
