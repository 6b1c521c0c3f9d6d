# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Encoders of timm, by a stand-in for it: it is no requirement."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.backbones import timm_encoder

DEPTH = 3


class Encoder(nn.Module):
    """A transformer's outside, as timm has it."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(DEPTH))

    def set_grad_checkpointing(self, enable: bool) -> None:
        self.checkpointing = enable

    def forward_intermediates(self, x, indices, norm, intermediates_only):
        assert intermediates_only
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in indices:
                maps.append(x + 100 * norm)
        return maps


@pytest.fixture
def timm(monkeypatch):
    module = ModuleType('timm')
    module.__version__ = '1.0'
    module.is_model = lambda name: name != 'nothing'
    module.create_model = lambda name, pretrained, num_classes: Encoder()
    monkeypatch.setitem(sys.modules, 'timm', module)
    return module


def build(**kwargs) -> nn.Module:
    kwargs = dict(model_name='vit_small', **kwargs)
    return MODELS.build(dict(type='TIMMEncoder', **kwargs))


def test_maps_come_in_the_order_that_was_asked_for(timm):
    torch.manual_seed(0)
    encoder = build(out_indices=(-1, 0), final_norm=False)
    images = torch.rand(2, 3, 4, 4)
    last, first = encoder(images)
    x = encoder.model.blocks[0](images)
    assert torch.equal(first, x)
    assert torch.equal(
        last, encoder.model.blocks[2](encoder.model.blocks[1](x))
    )
    [small] = build(resize=1.0, multiple=3)(images)
    assert small.shape[-2:] == (3, 3)


def test_what_is_frozen_stays_so(timm):
    encoder = build(frozen=True, with_cp=True).train()
    assert not encoder.training and encoder.model.checkpointing
    assert not any(p.requires_grad for p in encoder.parameters())


def test_weights_are_loaded_strictly(timm, tmp_path):
    path = tmp_path / 'file.pth'
    init = dict(type='Pretrained', checkpoint=str(path))
    state = Encoder().state_dict()
    torch.save({**state, 'head.weight': torch.ones(2)}, path)
    encoder = build(init_cfg=init)
    encoder.init_weights()
    assert torch.equal(
        encoder.model.blocks[1].weight, state['blocks.1.weight']
    )
    state.pop('blocks.0.bias')
    torch.save(state, path)
    with pytest.raises(UserError, match='1 tensors differ, .* blocks.0.bias'):
        build(init_cfg=init).init_weights()


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('nothing', 'timm 1.0 has no such encoder'),
        ('vit_small_patch14_dinov2', "expected type='DINOv2'"),
    ],
)
def test_what_timm_has_not_or_does_otherwise(timm, name, message):
    with pytest.raises(UserError, match=message):
        MODELS.build(dict(type='TIMMEncoder', model_name=name))


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        (ModuleNotFoundError('', name='timm'), 'timm is not installed'),
        (
            RuntimeError('operator torchvision::nms does not exist'),
            'torchvision does not fit torch',
        ),
    ],
)
def test_without_timm_a_line_says_what_to_install(monkeypatch, error, message):
    def fail(name: str) -> SimpleNamespace:
        raise error

    monkeypatch.setattr(timm_encoder, 'import_module', fail)
    with pytest.raises(UserError, match=message) as caught:
        build()
    assert 'torchvision of the same build' in str(caught.value)
