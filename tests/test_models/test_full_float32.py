# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from mmseg_cag.models.anchors.anchor_bank import AnchorBank
from mmseg_cag.models.anchors.arithmetic import full_float32

backends = torch.backends
named = hasattr(backends.cudnn, 'conv')


def settings(device_type: str) -> list[tuple]:
    """List every shortcut that this torch has for float32 products."""
    if device_type == 'cuda' and named:
        owners = [backends.cuda.matmul, backends.cudnn.conv]
        return [(owner, 'fp32_precision', 'tf32') for owner in owners]
    if device_type == 'cuda':
        owners = [backends.cuda.matmul, backends.cudnn]
        return [(owner, 'allow_tf32', True) for owner in owners]
    owners = [backends.mkldnn.matmul, backends.mkldnn.conv] if named else []
    return [(owner, 'fp32_precision', 'bf16') for owner in owners]


def current(device_type: str) -> list:
    return [getattr(owner, name) for owner, name, _ in settings(device_type)]


@pytest.fixture(autouse=True)
def shortcuts() -> Iterator[dict[str, list]]:
    """Allow them all."""
    allowed = {}
    every = [*settings('cuda'), *settings('cpu')]
    before = [getattr(owner, name) for owner, name, _ in every]
    for device_type in ('cuda', 'cpu'):
        for owner, name, value in settings(device_type):
            setattr(owner, name, value)
        allowed[device_type] = current(device_type)
    yield allowed
    for (owner, name, _), value in zip(every, before, strict=True):
        setattr(owner, name, value)


@pytest.mark.parametrize('device_type', ['cuda', 'cpu'])
def test_shortcuts_are_off_inside_and_as_before_outside(
    device_type, shortcuts
):
    allowed = shortcuts[device_type]
    with full_float32(device_type):
        assert not set(current(device_type)) & set(allowed)
    assert current(device_type) == allowed
    with pytest.raises(KeyError), full_float32(device_type):
        raise KeyError
    assert current(device_type) == allowed


def test_what_concerns_another_device_stays(shortcuts):
    with full_float32('cpu'):
        assert current('cuda') == shortcuts['cuda']


@pytest.mark.parametrize('device_type', ['cuda', 'cpu'])
def test_threads_that_overlap_put_back_what_was_before(device_type, shortcuts):
    inside, first_left = threading.Barrier(2, timeout=10), threading.Event()

    def enter(is_first: bool) -> None:
        with full_float32(device_type):
            inside.wait()
            if not is_first:
                assert first_left.wait(10)
                exact.append(current(device_type))
        first_left.set()

    exact: list = []
    pair = [threading.Thread(target=enter, args=[k]) for k in (True, False)]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join()
    assert not set(exact[0]) & set(shortcuts[device_type])
    assert current(device_type) == shortcuts[device_type]


def test_autocast_is_off_inside():
    with torch.autocast('cpu', torch.bfloat16), full_float32('cpu'):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_distances_are_exact_whatever_is_allowed():
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
