# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""VFM-UDA++'s pyramid by itself, against the release."""

from __future__ import annotations

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from tests.test_models.test_backbones.test_dinov2 import Golden, assert_near
from tests.test_models.test_backbones.test_vit_adapter import part


@pytest.fixture
def golden() -> Golden:
    return Golden('vfmudapp_small')


@pytest.fixture
def pyramid(golden) -> nn.Module:
    """The head up to what its classifier gets."""
    width = golden['upscale/f4'].shape[1]
    head = MODELS.build(
        dict(type='VFMUDAPlusHead', in_channels=width, num_classes=19)
    )
    head.conv_seg = nn.Identity()
    head.load_state_dict(part(golden, 'upscale/w/'))
    return head


@pytest.fixture
def maps(golden) -> list[torch.Tensor]:
    return [golden[f'upscale/f{level}'] for level in (1, 2, 3, 4)]


def test_the_pyramid_in_evaluation(golden, pyramid, maps):
    assert_near(pyramid.eval()(maps), golden['upscale/eval'])


def test_the_pyramid_in_training(golden, pyramid, maps):
    assert_near(pyramid.train()(maps), golden['upscale/train'])
    mean = pyramid.norm1.running_mean
    assert_near(mean, golden['upscale/norm1_running_mean'])


def test_the_finest_map_comes_first(golden, pyramid, maps):
    maps[2] = maps[2] + 1
    off = pyramid.eval()(maps) - golden['upscale/eval']
    assert off.abs().max() > 1e-3
    with pytest.raises(RuntimeError):
        pyramid(maps[::-1])
