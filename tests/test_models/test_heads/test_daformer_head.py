# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from tests import release


@pytest.fixture
def case():
    return release.read('daformer_head')


@pytest.fixture
def head(case):
    head = MODELS.build(release.small_head(7))
    head.load_state_dict(release.group(case, 'state'))
    return head


def inputs(case) -> list[torch.Tensor]:
    return [case[f'input_{i}'].clone() for i in range(4)]


@torch.no_grad()
def test_evaluation_is_that_of_the_release(case, head):
    head.eval()
    seen = {}
    head.fuse_layer.register_forward_hook(
        lambda _, given, out: seen.update(given=given[0], out=out)
    )
    logits = head(inputs(case))
    release.assert_close(logits, case['logits_eval'], 2e-5)
    last = head.embed_layers[3](inputs(case)[3])
    release.assert_close(last, case['embedded_3'], 2e-5)
    release.assert_close(seen['given'][..., ::4], case['fused_in'], 2e-5)
    release.assert_close(seen['out'], case['fused_out'], 2e-5)


def test_training_is_that_of_the_release(case, head):
    head.train()
    given = [x.requires_grad_() for x in inputs(case)]
    logits = head(given)
    release.assert_close(logits, case['logits_train'], 2e-5)
    logits.backward(case['grad_out'])
    for i, level in enumerate(given):
        release.assert_close(level.grad, case[f'grad_input_{i}'], 2e-4)
    for key, value in release.group(case, 'grad').items():
        own = head.get_parameter(key)
        release.assert_close(own.grad, value, 2e-4)
    state = head.state_dict()
    for key, value in release.group(case, 'after').items():
        torch.testing.assert_close(state[key], value, rtol=2e-5, atol=1e-6)


def test_the_numbers_of_parameters_are_those_of_the_release():
    with torch.device('meta'):
        head = MODELS.build(
            dict(
                type='DAFormerHead',
                in_channels=[64, 128, 320, 512],
                num_classes=19,
            )
        )
        attention = MODELS.build(
            dict(
                type='DAFormerHead',
                in_channels=[64, 128, 320, 512],
                num_classes=19,
                dilations=(),
            )
        )
    count = sum(p.numel() for p in head.parameters())
    assert round(count / 1e6, 3) == 3.712
    count = sum(p.numel() for p in attention.parameters())
    assert round(count / 1e6, 3) == 0.531


def test_its_initial_weights():
    torch.manual_seed(0)
    head = MODELS.build(release.small_head(7))
    linear = head.embed_layers[3].proj
    default = linear.weight.detach().clone()
    head.init_weights()
    assert torch.equal(linear.weight, default)
    assert head.conv_seg.weight.std() < 0.02
    assert not head.conv_seg.bias.any()
    for module in head.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-5, 0.1)
        if isinstance(module, nn.Conv2d) and module is not head.conv_seg:
            assert module.bias is None
