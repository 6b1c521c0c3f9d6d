# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch

from mmseg_cag.models.anchors import arithmetic as bands
from mmseg_cag.models.losses.anchor_distance_loss import OwnDistances

N, K, C, H, W = 2, 4, 5, 6, 7


@pytest.mark.parametrize(
    'layout', [torch.contiguous_format, torch.channels_last]
)
@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
def test_distances_and_gradients(monkeypatch, layout, dtype):
    monkeypatch.setattr(bands, 'CPU_CHUNK', 2 * N * C * W)
    anchors = torch.randn(K, C).double()
    labels = torch.randint(-1, K, (N, H, W))
    feat = torch.randn(N, C, H, W).to(dtype)
    feat = feat.contiguous(memory_format=layout).requires_grad_()
    found = OwnDistances.apply(feat, anchors, labels)
    exact = feat.detach().double().requires_grad_()
    own = anchors[labels.clamp(min=0)].permute(0, 3, 1, 2)
    expected = (exact - own).norm(dim=1).where(labels >= 0, 0)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(N, H, W).double()
    (weights * found).sum().backward()
    (weights * expected).sum().backward()
    assert feat.grad.dtype == dtype
    assert feat.grad.is_contiguous(memory_format=layout)
    torch.testing.assert_close(feat.grad, exact.grad.to(dtype))


def test_on_the_anchor_there_is_no_slope():
    anchors = torch.randn(2, C)
    feat = anchors[1].view(1, C, 1, 1).clone().requires_grad_()
    distances = OwnDistances.apply(feat, anchors, torch.ones(1, 1, 1).long())
    distances.sum().backward()
    assert distances == 0 and not feat.grad.any()
