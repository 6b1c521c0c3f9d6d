# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.backbones.lora import insert_lora, merge_lora
from tests.test_models.test_backbones.test_dinov2 import tiny

LORA = dict(rank=2, alpha=4, layers=['attn.qkv', 'attn.proj', 'mlp.fc1'])


def learned(**kwargs) -> nn.Module:
    """An encoder whose updates are not zero any more."""
    encoder = tiny(lora=LORA, **kwargs)
    for name, parameter in encoder.named_parameters():
        if name.endswith('lora_B'):
            nn.init.normal_(parameter, std=0.1)
    return encoder


def test_it_starts_as_the_encoder_and_trains_the_updates_alone():
    images = torch.randn(1, 3, 56, 56)
    encoder = tiny(lora=LORA)
    plain = tiny()
    plain.load_state_dict(merge_lora(encoder.state_dict()))
    torch.testing.assert_close(encoder(images), plain(images))
    encoder(images)[0].square().mean().backward()
    trained = {n for n, p in encoder.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 3 * 3
    assert all(name.rpartition('.')[2] in 'lora_A lora_B' for name in trained)
    assert encoder.blocks[0].attn.qkv.lora_B.grad.any()


@pytest.mark.parametrize('kind', ['DINOv2', 'DINOv3'])
def test_merged_weights_compute_the_same(kind):
    images = torch.randn(1, 3, 112, 112)
    encoder, plain = learned(kind=kind), tiny(kind)
    merged = merge_lora(encoder.state_dict())
    plain.load_state_dict(merged)
    torch.testing.assert_close(encoder(images), plain(images))
    # The formula, of one layer.
    layer = encoder.blocks[0].mlp.fc1
    x = torch.randn(5, 48)
    slow = (layer.weight + 2 * layer.lora_B @ layer.lora_A) @ x.T
    slow = slow.T + layer.bias
    torch.testing.assert_close(layer(x), slow, rtol=1e-4, atol=1e-5)


def test_a_copy_has_updates_of_its_own():
    encoder = learned()
    other = copy.deepcopy(encoder)
    nn.init.zeros_(other.blocks[0].attn.qkv.lora_B)
    images = torch.randn(1, 3, 56, 56)
    assert not torch.equal(encoder(images)[0], other(images)[0])


@pytest.mark.parametrize(
    ('network', 'settings', 'message'),
    [
        (nn.Conv2d(3, 3, 1), dict(rank=2), 'Conv2d has no such linear layer'),
        (nn.Linear(3, 3), dict(rank=0), 'rank=0, expected a positive integer'),
    ],
)
def test_what_does_not_fit_is_refused(network, settings, message):
    with pytest.raises(UserError, match=message):
        insert_lora(network, **settings)
