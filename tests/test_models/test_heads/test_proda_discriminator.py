# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

CONFIG = dict(type='ProDADiscriminator', in_channels=19)


def test_size_of_the_release():
    net = MODELS.build(CONFIG)
    assert sum(p.numel() for p in net.parameters()) == 1_560_705
    assert net(torch.rand(2, 19, 64, 128)).shape == (2, 1, 4, 8)


def test_the_last_activation_alone_lets_negatives_through():
    net = MODELS.build(CONFIG)
    x = torch.randn(1, 19, 32, 32)
    convs = [m for m in net if isinstance(m, torch.nn.Conv2d)]
    expected = x
    for conv, act in zip(
        convs, [F.relu] * 3 + [lambda v: F.leaky_relu(v, 0.2)], strict=False
    ):
        expected = act(
            F.conv2d(expected, conv.weight, conv.bias, stride=2, padding=1)
        )
    last = convs[-1]
    expected = F.conv2d(expected, last.weight, last.bias)
    torch.testing.assert_close(net(x), expected)
