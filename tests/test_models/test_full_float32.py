# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from mmseg_cag.models import AnchorBank
from mmseg_cag.models.full_float32 import full_float32

backends = torch.backends


@pytest.fixture
def shortcuts() -> Iterator[list]:
    """Allow every shortcut that this torch has for float32 products."""
    if hasattr(backends.cudnn, 'conv'):
        owners = [
            backends.cuda.matmul,
            backends.cudnn.conv,
            backends.mkldnn.matmul,
            backends.mkldnn.conv,
        ]
        settings = [(owner, 'fp32_precision', 'tf32') for owner in owners]
        settings[2] = (*settings[2][:2], 'bf16')
        settings[3] = (*settings[3][:2], 'bf16')
    else:
        owners = [backends.cuda.matmul, backends.cudnn]
        settings = [(owner, 'allow_tf32', True) for owner in owners]
    before = [getattr(owner, name) for owner, name, _ in settings]
    for owner, name, value in settings:
        setattr(owner, name, value)
    yield settings
    for (owner, name, _), value in zip(settings, before, strict=True):
        setattr(owner, name, value)


def test_shortcuts_are_off_inside_and_as_before_outside(shortcuts):
    def current() -> list:
        return [getattr(owner, name) for owner, name, _ in shortcuts]

    allowed = [value for _, _, value in shortcuts]
    assert current() == allowed
    with full_float32('cpu'):
        assert not set(current()) & set(allowed)
    assert current() == allowed
    with pytest.raises(KeyError), full_float32('cpu'):
        raise KeyError
    assert current() == allowed


def test_autocast_is_off_inside():
    with torch.autocast('cpu', torch.bfloat16), full_float32('cpu'):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_distances_are_exact_whatever_is_allowed(shortcuts):
    bank = AnchorBank(4, 64)
    bank.anchors.normal_()
    bank.counts.fill_(1)
    feat = torch.randn(1, 64, 16, 16)
    for layout in (torch.contiguous_format, torch.channels_last):
        pixels = feat[0].flatten(1).T.double()
        expected = torch.cdist(pixels, bank.anchors.double()).T
        found = bank.distances(feat.contiguous(memory_format=layout))
        error = (found[0].flatten(1) - expected).abs().max()
        assert error < 2e-5  # bfloat16 would be off by 1e-2
