# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_cag.models.anchors.anchor_bank import AnchorBank

N, K, C, H, W = 2, 5, 6, 6, 7
ABSENT = 3  # the class without an anchor
MIN_PIXELS = 4
EXACT = dict(rtol=1e-9, atol=1e-9)


@pytest.fixture
def bank() -> AnchorBank:
    bank = AnchorBank(K, C).double()
    bank.anchors.copy_(torch.randn(K, C) * 2)
    bank.counts.copy_(torch.tensor([4.0, 9.0, 1.0, 0.0, 2.0]))
    bank.anchors[ABSENT] = 0
    return bank


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Random (feat, logits, labels) with labels that are no class."""
    feat = (torch.randn(N, C, H, W).double() * 3).requires_grad_()
    labels = torch.tensor([0, 1, 2, ABSENT, 4, 250, 255, -1])[
        torch.randint(0, 8, (N, H, W))
    ]
    labels[0, 0] = 4
    logits = torch.rand(N, K, H, W).double()
    right = torch.rand(N, H, W) < 0.8
    guess = labels.where(right & (labels < K) & (labels >= 0), 0)
    logits.scatter_(1, guess.unsqueeze(1), 2.0)
    return feat, logits, labels


def build(level='pixel', **kwargs):
    cfg = dict(type='AnchorDistanceLoss', level=level, loss_weight=0.7)
    return MODELS.build({**cfg, 'min_pixels': MIN_PIXELS, **kwargs})


def gradient(loss: Tensor, feat: Tensor) -> Tensor:
    return torch.autograd.grad(loss, feat)[0]


def counted(bank: AnchorBank, label: int) -> bool:
    return 0 <= label < K and bank.counts[label] > 0


def loop_pixel(bank, feat, labels) -> Tensor:
    distances = []
    for n in range(N):
        for i in range(H):
            for j in range(W):
                k = labels[n, i, j].item()
                if counted(bank, k):
                    difference = feat[n, :, i, j] - bank.anchors[k]
                    distances.append(difference.square().sum().sqrt())
    return 0.7 * sum(distances) / len(distances)


class Pool(torch.autograd.Function):
    """The release's pooling: a mean whose gradient is scaled by 2k / hw."""

    @staticmethod
    def forward(ctx, mean: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return mean.clone()

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


def loop_centroid(bank, feat, logits, labels, limit=5.0, scale=10.0):
    losses = []
    for n in range(N):
        for k in range(K):
            pixels = [
                feat[n, :, i, j]
                for i in range(H)
                for j in range(W)
                if labels[n, i, j] == k
                and logits[n, :, i, j].argmax() == k
                and counted(bank, k)
            ]
            if len(pixels) < MIN_PIXELS:
                continue
            mean = sum(pixels) / len(pixels)
            mean = Pool.apply(mean, 2 * len(pixels) / (H * W))
            parts = []
            for d in (mean - bank.anchors[k]).abs():
                parts.append(0.5 * d * d if d < 1 else d - 0.5)
            loss = sum(parts) / C
            while loss > limit:
                loss = loss / 10
            losses.append(loss)
    assert losses
    return 0.7 * scale * sum(losses) / len(losses)


def test_pixel_level_against_a_loop(bank, batch):
    feat, logits, labels = batch
    loss = build()(bank, *batch)
    expected = loop_pixel(bank, feat, labels)
    torch.testing.assert_close(loss, expected, **EXACT)
    torch.testing.assert_close(
        gradient(loss, feat), gradient(expected, feat), **EXACT
    )


def test_pixel_level_passes_gradcheck(bank, batch):
    feat, logits, labels = batch
    assert torch.autograd.gradcheck(
        lambda f: build()(bank, f, logits, labels), (feat,)
    )


@pytest.mark.parametrize('limit', [5.0, 0.2, 0.003])
def test_centroid_level_against_a_loop(bank, batch, limit):
    feat = batch[0]
    loss = build('centroid', limit=limit)(bank, *batch)
    expected = loop_centroid(bank, *batch, limit=limit)
    torch.testing.assert_close(loss, expected, **EXACT)
    torch.testing.assert_close(
        gradient(loss, feat), gradient(expected, feat), **EXACT
    )


def test_the_limit_divides_by_ten_until_it_holds(bank):
    # All pixels of class 0 at a distance of 60.5 in every channel: 60 -> 0.6
    feat = (bank.anchors[0].view(1, C, 1, 1) + 60.5).expand(1, C, H, W)
    logits = torch.zeros(1, K, H, W).double()
    logits[:, 0] = 1
    labels = torch.zeros(1, H, W, dtype=torch.int64)
    arguments = bank, feat, logits, labels
    settings = dict(scale=1.0, loss_weight=1.0)
    for limit, expected in ((100.0, 60.0), (7.0, 6.0), (5.0, 0.6)):
        loss = build('centroid', limit=limit, **settings)(*arguments)
        torch.testing.assert_close(loss.item(), expected)


def test_centroid_gradient_of_a_pixel_does_not_depend_on_its_class_area(bank):
    """Each pixel gets (2 / hw) of the slope, divided by all the means."""
    labels = torch.ones(1, H, W, dtype=torch.int64)
    labels[0, 0] = 0  # a seventh of the other's area or less
    logits = torch.zeros(1, K, H, W).double()
    logits.scatter_(1, labels.unsqueeze(1), 1.0)
    feat = bank.anchors[labels].permute(0, 3, 1, 2) + 3.0  # slope is one
    feat.requires_grad_()
    loss = build('centroid', scale=1.0, loss_weight=1.0)(
        bank, feat, logits, labels
    )
    slope = 1 / C / 2 * 2 / (H * W)
    torch.testing.assert_close(
        gradient(loss, feat), torch.full_like(feat, slope), **EXACT
    )


@pytest.mark.parametrize('level', ['pixel', 'centroid'])
@pytest.mark.parametrize('label', [255, 250, -1, K, ABSENT])
def test_zero_with_zero_gradients_where_nothing_counts(
    bank, batch, level, label
):
    feat, logits, labels = batch
    loss = build(level)(bank, feat, logits, torch.full_like(labels, label))
    assert loss.item() == 0
    assert torch.equal(gradient(loss, feat), torch.zeros_like(feat))


@pytest.mark.parametrize('level', ['pixel', 'centroid'])
def test_labels_that_do_not_count_change_nothing(bank, batch, level):
    feat, logits, labels = batch
    void = ~((labels >= 0) & (labels < K) & (labels != ABSENT))
    assert {-1, 250, 255, ABSENT} == set(labels[void].tolist())
    loss = build(level)(bank, *batch)
    same = build(level)(bank, feat, logits, labels.where(~void, 255))
    assert torch.equal(loss, same)
    assert not gradient(loss, feat).permute(0, 2, 3, 1)[void].any()


def test_on_the_anchor_loss_and_gradient_are_zero(bank):
    labels = torch.randint(0, 3, (1, H, W))
    feat = bank.anchors[labels].permute(0, 3, 1, 2).clone().requires_grad_()
    loss = build()(bank, feat, torch.rand(1, K, H, W), labels)
    assert loss.item() < 1e-6
    assert gradient(loss, feat).isfinite().all()


def test_centroids_of_few_pixels_do_not_count(bank, batch):
    feat, logits, labels = batch
    loss = build('centroid', min_pixels=H * W + 1)(bank, *batch)
    assert loss.item() == 0
    assert not gradient(loss, feat).any()


def test_the_weight(bank, batch):
    for level in ('pixel', 'centroid'):
        one = build(level, loss_weight=1.0)(bank, *batch)
        two = build(level, loss_weight=2.0)(bank, *batch)
        assert one > 0
        torch.testing.assert_close(two, 2 * one)


def test_unknown_level():
    with pytest.raises(ValueError, match="level='image', expected") as caught:
        build('image')
    assert '\n' not in str(caught.value)
