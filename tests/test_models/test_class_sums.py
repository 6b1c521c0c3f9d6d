# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmseg_cag.models.anchors import arithmetic as bands
from mmseg_cag.models.anchors import class_means as module
from mmseg_cag.models.anchors.class_means import class_feature_sums

N, C, H, W = 3, 5, 6, 7
LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture(autouse=True)
def several_bands(monkeypatch):
    monkeypatch.setattr(bands, 'CPU_CHUNK', 2 * N * C * W)


def draw(num_classes: int, layout: torch.memory_format) -> tuple:
    feat = torch.randn(N, C, H, W).double().contiguous(memory_format=layout)
    labels = torch.randint(-1, num_classes + 1, (N, H, W))
    labels[0, 0] = 255
    return feat.requires_grad_(), labels


def loop_sums(feat: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    rows = [
        feat[n, :, labels[n] == k].sum(1)
        for n in range(N)
        for k in range(num_classes)
    ]
    return torch.stack(rows).view(N, num_classes, C)


# Both ways of summing, whichever takes less time.
@pytest.mark.parametrize('adding', [True, False])
@pytest.mark.parametrize('num_classes', [2, 40])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_sums_and_gradients_against_a_loop(
    monkeypatch, layout, num_classes, adding
):
    monkeypatch.setattr(module, '_adding_is_faster', lambda *_: adding)
    feat, labels = draw(num_classes, layout)
    sums, counts = class_feature_sums(feat, labels, num_classes)
    expected = loop_sums(feat, labels, num_classes)
    torch.testing.assert_close(sums, expected)
    for k in range(num_classes):
        assert torch.equal(counts[:, k], (labels == k).sum((1, 2)).double())
    weights = torch.randn_like(sums)
    found, slow = (
        torch.autograd.grad((weights * part).sum(), feat)[0]
        for part in (sums, expected)
    )
    torch.testing.assert_close(found, slow)
    assert found.is_contiguous(memory_format=layout)


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(layout, dtype):
    feat, labels = draw(4, layout)
    half = feat.detach().to(dtype).requires_grad_()
    with torch.autocast('cpu', torch.bfloat16):
        sums, _ = class_feature_sums(half, labels, 4)
    assert sums.dtype == torch.float32
    torch.testing.assert_close(
        sums, loop_sums(half.float(), labels, 4), rtol=1e-5, atol=1e-5
    )
    sums.sum().backward()
    assert half.grad.dtype == dtype
    assert torch.equal(
        half.grad[:, 0], ((0 <= labels) & (labels < 4)).to(dtype)
    )


@pytest.mark.parametrize('num_classes', [2, 40])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_a_million_pixels_of_half_precision(monkeypatch, layout, num_classes):
    """Their sum is 16 times the largest float16; 0.1 adds up rounding."""
    monkeypatch.undo()
    feat = torch.full((1, 2, 1000, 1000), 0.1, dtype=torch.float16)
    feat[:, 1] = 1.0
    feat = feat.contiguous(memory_format=layout)
    labels = torch.zeros(1, 1000, 1000, dtype=torch.int64)
    sums, counts = class_feature_sums(feat, labels, num_classes)
    assert counts[0, 0] == 1_000_000
    assert sums[0, 0, 1] == 1_000_000
    expected = 1e6 * feat[0, 0, 0, 0].item()
    assert sums[0, 0, 0].item() == pytest.approx(expected, rel=1e-5)
    assert not sums[0, 1:].any()
