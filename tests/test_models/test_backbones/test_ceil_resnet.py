# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

DEEPLAB_V2 = dict(
    strides=(1, 2, 1, 1),
    dilations=(1, 1, 2, 4),
    contract_dilation=False,
    style='caffe',
)


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((720, 1280), (91, 161)),
        ((760, 1280), (96, 161)),
        ((512, 1024), (65, 129)),
        ((1024, 2048), (129, 257)),
        ((512, 896), (65, 113)),
    ],
)
def test_sizes_of_the_release(size, expected):
    config = dict(type='CeilResNet', depth=50, **DEEPLAB_V2)
    with torch.device('meta'):
        levels = MODELS.build(config)(torch.empty(2, 3, *size))
    assert levels[-1].shape[2:] == expected


def test_every_block_is_fully_dilated_and_strided_first():
    net = MODELS.build(dict(type='CeilResNet', depth=50, **DEEPLAB_V2))
    for layer, dilation in (('layer3', 2), ('layer4', 4)):
        for block in getattr(net, layer):
            assert block.conv2.dilation == (dilation, dilation)
    assert net.layer2[0].conv1.stride == (2, 2)
    assert net.layer2[0].conv2.stride == (1, 1)


def test_last_column_of_the_pool_is_kept():
    net = MODELS.build(dict(type='CeilResNet', depth=18))
    stem = torch.rand(1, 64, 8, 8)
    # What rounding up adds: a window that hangs over the far border.
    padded = F.pad(stem, (1, 2, 1, 2), value=float('-inf'))
    torch.testing.assert_close(net.maxpool(stem), F.max_pool2d(padded, 3, 2))
