# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmseg.registry import MODELS


def test_size_of_the_release():
    net = MODELS.build(dict(type='FCDiscriminator', in_channels=19))
    assert sum(p.numel() for p in net.parameters()) == 2_781_121


@pytest.mark.parametrize(
    ('size', 'expected'), [((720, 1280), (22, 40)), ((512, 1024), (16, 32))]
)
def test_map_is_a_32nd_of_the_image(size, expected):
    with torch.device('meta'):
        net = MODELS.build(dict(type='FCDiscriminator', in_channels=19))
        judged = net(torch.empty(1, 19, *size))
    assert judged.shape == (1, 1, *expected)
