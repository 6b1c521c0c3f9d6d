# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The automatic margin: how it is chosen and on which pixels."""

from __future__ import annotations

import math

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_cag.models.anchors import pseudo_label_head as pixel_sample
from mmseg_cag.models.anchors.pseudo_label_head import (
    PixelSampler,
    smallest_margin,
)

N, C, H, W = 2, 3, 8, 9


def loop_margin(gaps, correct, precision) -> float:
    """Try each gap as the margin."""
    for margin in sorted(set(gaps)):
        right = [c for g, c in zip(gaps, correct, strict=True) if g >= margin]
        if sum(right) / len(right) >= precision:
            return margin
    return math.inf


@pytest.mark.parametrize('precision', [0.0, 0.5, 0.8, 0.95, 1.0, 1.1])
@pytest.mark.parametrize('levels', [5, 1000])
def test_smallest_margin_against_a_loop(precision, levels):
    for _ in range(20):
        gaps = torch.randint(0, levels, (60,)) / 8  # few levels: many ties
        correct = torch.rand(60) < 0.5 + gaps / gaps.max() / 2
        expected = loop_margin(gaps.tolist(), correct.tolist(), precision)
        assert smallest_margin(gaps, correct, precision) == expected


def test_without_a_pixel_the_margin_is_infinite():
    empty = torch.zeros(0)
    assert smallest_margin(empty, empty.bool(), 0.5) == math.inf


@pytest.mark.parametrize('per_class', [False, True])
def test_calibrated_labels_are_as_precise_as_wanted(per_class):
    head = MODELS.build(
        dict(
            type='PseudoLabelHead',
            num_classes=4,
            margin='auto',
            precision=0.8,
            per_class=per_class,
        )
    )
    assert (head.by_anchor(torch.rand(1, 4, 2, 2)) == 255).all()
    distances = torch.rand(2000, 4)
    distances[:, 3] = math.inf  # a class without an anchor
    nearest = distances.topk(2, 1, largest=False)
    gap = nearest.values[:, 1] - nearest.values[:, 0]
    right = torch.rand(2000) < 0.5 + gap
    labels = nearest.indices[:, 0].where(right, 3)
    head.calibrate(distances, labels)
    found = head.by_anchor(distances[..., None, None]).flatten()
    groups = range(3) if per_class else [None]
    for k in groups:
        own = found != 255 if k is None else found == k
        assert (found == labels)[own].float().mean() >= 0.8
        assert 50 < own.sum() < 2000
    assert len(head.margin[:3].unique()) == (3 if per_class else 1)


@pytest.mark.parametrize('margin', ['automatic', None, [1.0]])
def test_a_margin_that_is_none(margin):
    with pytest.raises(ValueError, match='margin=.*expected a number'):
        MODELS.build(
            dict(type='PseudoLabelHead', num_classes=4, margin=margin)
        )


# Four classes, C channels.
LIKE = torch.zeros(4, C)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    feat = torch.randn(N, C, H, W)
    labels = torch.randint(0, 4, (N, H, W))
    labels[labels == 3] = 255
    return feat, labels


def test_a_large_sample_is_all_labelled_pixels():
    data = [batch(), batch()]
    sample = PixelSampler(10**6, 2 * N, LIKE)
    pixels = []
    for feat, labels in data:
        sample.add(feat, labels)
        pixels += [
            (feat[n, :, i, j], labels[n, i, j])
            for n in range(N)
            for i in range(H)
            for j in range(W)
            if labels[n, i, j] != 255
        ]
    feats, labels = sample.gather()
    assert torch.equal(feats, torch.stack([f for f, _ in pixels]))
    assert torch.equal(labels, torch.stack([label for _, label in pixels]))


@pytest.mark.parametrize('size', [4, 20, 40])
def test_a_sample_has_about_the_wanted_size(size):
    sample = PixelSampler(size, 4 * N, LIKE)
    for _ in range(4):
        sample.add(*batch())
    feats, labels = sample.gather()
    assert size / 2 <= len(feats) == len(labels) <= 3 * size
    assert not (labels == 255).any()


def test_void_images_add_nothing():
    sample = PixelSampler(10, 2, LIKE)
    feat, labels = batch()
    sample.add(feat, torch.full_like(labels, 255))
    sample.add(feat, labels)
    assert len(sample.gather()[0]) > 0


def test_a_rank_without_an_image(monkeypatch):
    other = PixelSampler(10, 2, LIKE)
    other.add(*batch())
    feats, labels = other.gather()
    monkeypatch.setattr(
        pixel_sample, 'all_gather_object', lambda own: [(feats, labels), own]
    )
    found = PixelSampler(10, 2, LIKE).gather()
    assert torch.equal(found[0], feats) and torch.equal(found[1], labels)
