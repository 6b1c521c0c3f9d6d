# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.models.translation.resnet_generator import InstanceNorm


def generator(**kwargs) -> nn.Module:
    config = dict(type='ResNetGenerator', channels=3, num_blocks=2, **kwargs)
    model = MODELS.build(config)
    model.init_weights()
    return model.double()


def normalise(x: Tensor) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    var = x.var((2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt()


def reflect(x: Tensor, conv: nn.Module) -> Tensor:
    x = F.pad(x, [conv.weight.shape[-1] // 2] * 4, mode='reflect')
    return F.conv2d(x, conv.weight, conv.bias)


def written_out(model: nn.Module, x: Tensor) -> Tensor:
    """The network by its publication, of the same weights."""
    convs = [
        m
        for m in model.modules()
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
    ]
    first, *down, a, b, c, d, up_1, up_2, last = convs
    x = normalise(reflect(x, first)).relu()
    for conv in down:
        x = F.conv2d(x, conv.weight, conv.bias, stride=2, padding=1)
        x = normalise(x).relu()
    for one, two in ((a, b), (c, d)):
        y = normalise(reflect(x, one)).relu()
        x = x + normalise(reflect(y, two))
    for conv in (up_1, up_2):
        x = F.conv_transpose2d(x, conv.weight, conv.bias, 2, 1, 1)
        x = normalise(x).relu()
    return reflect(x, last).tanh()


def images(height: int, width: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, height, width, dtype=torch.double) * 2 - 1


def test_the_generator_is_the_published_one():
    model, x = generator(), images(24, 32)
    expected = written_out(model, x)
    torch.testing.assert_close(model(x), expected)
    # Each image by its own statistics, at test too.
    torch.testing.assert_close(model.eval()(x[:1]), expected[:1])


@pytest.mark.parametrize('count', [1, 2])
def test_gradients_do_not_depend_on_the_order_in_memory(count):
    model, x = generator(), images(24, 32, count)
    twin = copy.deepcopy(model).to(memory_format=torch.channels_last)
    weights = torch.randn_like(x)
    for net in (model, twin):
        (net(x) * weights).sum().backward()
    for one, two in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)


def test_a_size_that_the_stride_does_not_divide():
    model, x = generator(), images(23, 30)
    padded = F.pad(x, (0, 2, 0, 1), mode='reflect')
    expected = written_out(model, padded)[..., :23, :30]
    torch.testing.assert_close(model(x), expected)


def test_a_residual_one_without_a_change_is_the_identity():
    model, x = generator(residual=True), images(24, 32)
    nn.init.zeros_(model.layers[-1].weight)
    torch.testing.assert_close(model(x), 0.99 * x)
    assert model(torch.ones_like(x)).isfinite().all()


def test_weights_are_drawn_as_published():
    torch.manual_seed(0)
    model = MODELS.build(dict(type='ResNetGenerator', channels=32))
    model.init_weights()
    for name, parameter in model.named_parameters():
        if name.endswith('bias'):
            assert not parameter.any()
        else:
            torch.testing.assert_close(
                parameter.std().item(), 0.02, rtol=0.1, atol=0
            )


@pytest.mark.parametrize(('layers', 'seen'), [(2, 34), (3, 70)])
def test_a_judgement_sees_so_many_pixels(layers, seen):
    config = dict(type='PatchDiscriminator', channels=2, num_layers=layers)
    model = MODELS.build(config).double()
    for module in model.modules():
        if isinstance(module, InstanceNorm):
            module.forward = lambda x: x  # it sees all of the image
    x = images(128, 128, 1).requires_grad_()
    judged = model(x)
    assert judged.shape == (1, 1, *[128 // 2**layers - 2] * 2)
    middle = judged.shape[-1] // 2
    judged[0, 0, middle, middle].backward()
    rows = x.grad[0].abs().sum((0, 2)).nonzero()
    assert rows.max() - rows.min() + 1 == seen
