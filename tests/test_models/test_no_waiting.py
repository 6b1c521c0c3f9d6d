# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The anchor operations never wait for a GPU.

They work on the device "meta" here: what they launch is the same, and there
are no values that anything could wait for.
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from speed.operations import Maps, operations

SHAPE, K = (2, 8, 16, 24), 5


@pytest.fixture
def maps(monkeypatch) -> Maps:
    # There is no autocast for this device.
    monkeypatch.setattr('torch.autocast', lambda *_, **__: nullcontext())
    return Maps.draw(SHAPE, K, 'meta')


def test_waiting_would_be_noticed(maps):
    with pytest.raises((RuntimeError, NotImplementedError), match='meta'):
        maps.feat.sum().item()
    with pytest.raises(NotImplementedError, match='meta'):
        maps.labels.nonzero()


@pytest.mark.parametrize('name', operations())
def test_no_operation_waits(maps, name):
    assert operations()[name](maps).is_meta
