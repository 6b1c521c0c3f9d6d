# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.class_means import k_means, whitening
from mmseg_cag.models.heads import AnchorHead

K, C = 3, 4


def build(**kwargs) -> AnchorHead:
    return MODELS.build(
        dict(
            type='AnchorHead',
            in_channels=C,
            num_classes=K,
            align_corners=False,
            **kwargs,
        )
    )


def data(images: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (N, C, 6, 5) around two places a class, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, K, (images, 6, 5), generator=generator)
    side = torch.randint(2, labels.shape, generator=generator)
    places = 9 * torch.randn(K, 2, C, generator=generator)
    feat = places[labels.clamp(min=0), side]
    feat = feat + torch.randn(feat.shape, generator=generator)
    return feat.movedim(-1, 1), labels.where(labels >= 0, 255)


def fit(head: AnchorHead, feat: Tensor, labels: Tensor) -> AnchorHead:
    def batches():
        for maps, truth in zip(feat.split(2), labels.split(2), strict=True):
            yield (maps,), truth

    head.fit(batches, len(feat))
    return head


def rows(feat: Tensor, labels: Tensor, k: int) -> Tensor:
    return feat.movedim(1, -1)[labels == k]


def test_anchors_are_the_means_and_scores_the_distances():
    feat, labels = data()
    head = fit(build(), feat, labels)
    means = torch.stack([rows(feat, labels, k).mean(0) for k in range(K)])
    assert torch.allclose(head.anchor_bank.anchors, means, atol=1e-5)
    scores = head((feat,))
    slow = torch.cdist(feat.movedim(1, -1).flatten(0, 2), means)
    assert torch.allclose(
        -scores.movedim(1, -1).flatten(0, 2), slow, atol=1e-4
    )
    assert head.anchor_bank.counts.sum() == (labels < K).sum()


def test_pseudo_labels_are_as_right_as_was_asked_for():
    feat, labels = data(20)
    head = fit(build(precision=0.9), feat, labels)
    assigned = head.pseudo_labels((feat,))
    taken = (assigned < 255) & (labels < 255)
    assert taken.any() and not taken.all()
    right = (assigned == labels)[taken].float().mean()
    assert right >= 0.9


def test_several_anchors_follow_a_class_in_parts():
    feat, labels = data(20)
    one, two = (fit(build(per_class=m), feat, labels) for m in (1, 2))
    known = labels < K

    def nearest(head: AnchorHead) -> float:
        return (-head((feat,)).amax(1))[known].mean().item()

    assert nearest(two) < 0.5 * nearest(one)
    # Each anchor is the mean of the pixels of its class that are nearest.
    bank = two.anchor_bank
    for k in range(K):
        own = bank.anchors[2 * k : 2 * k + 2]
        pixels = rows(feat, labels, k)
        near = torch.cdist(pixels, own).argmin(1)
        for m in range(2):
            mean = pixels[near == m].mean(0)
            assert torch.allclose(own[m], mean, atol=1e-4)


def test_whitened_distances_are_of_mahalanobis():
    feat, labels = data(20)
    stretch = torch.tensor([1.0, 30.0, 0.1, 1.0])[:, None, None]
    feat = feat * stretch
    head = fit(build(whiten=True), feat, labels)
    pixels = [rows(feat, labels, k) for k in range(K)]
    rest = torch.cat([own - own.mean(0) for own in pixels]).double()
    spread = rest.T @ rest / len(rest)
    spread += 0.01 * spread.diagonal().mean() * torch.eye(C)
    off = feat[0, :, 0, 0] - torch.stack([own.mean(0) for own in pixels])
    off = off.double()
    slow = (off @ spread.inverse() * off).sum(1).sqrt()
    found = -head((feat,))[0, :, 0, 0]
    assert torch.allclose(found.double(), slow, rtol=1e-3)


def test_a_class_without_pixels_is_never_the_nearest():
    feat, labels = data()
    labels = labels.where(labels != 1, 255)
    head = fit(build(per_class=2), feat, labels)
    scores = head((feat,))
    assert scores.isfinite().all()
    assert not (scores.argmax(1) == 1).any()


def test_unit_length_makes_the_size_of_a_feature_nothing():
    feat, labels = data()
    head = fit(build(unit_length=True), feat, labels)
    assert torch.allclose(head((feat,)), head((7 * feat,)), atol=1e-5)


def test_it_cannot_be_trained():
    with pytest.raises(UserError, match='tools/fit_anchors.py'):
        build().loss((torch.zeros(1, C, 2, 2),), [], {})
    assert not list(build().parameters())


def test_k_means_finds_separate_heaps():
    generator = torch.Generator().manual_seed(0)
    places = torch.tensor([[0.0, 0], [9, 9], [0, 9], [9, 0]])
    points = places.repeat(25, 1) + 0.1 * torch.randn(
        100, 2, generator=generator
    )
    centres = k_means(points, 4, generator)
    assert torch.cdist(places, centres).amin(1).max() < 0.2
    assert torch.equal(k_means(points[:2], 4, generator), points[:2])
    same = torch.ones(5, 2)
    assert len(k_means(same, 3, generator)) == 1


def test_whitening_makes_the_spread_within_classes_even():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(3000) % K
    feat = torch.randn(3000, C, generator=generator)
    feat = feat * torch.tensor([1.0, 2, 3, 4]) + 10 * labels[:, None]
    white = feat @ whitening(feat, labels, K, shrinkage=0)
    for k in range(K):
        spread = white[labels == k].T.cov()
        assert torch.allclose(spread, torch.eye(C), atol=0.15)
