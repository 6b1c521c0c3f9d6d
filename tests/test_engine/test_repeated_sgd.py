# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from torch import nn

from mmseg_cag.engine.optim.repeated_sgd import RepeatedSGD
from mmseg_cag.errors import UserError
from tests.golden import golden_file

LR, MOMENTUM, DECAY = 2.5e-4, 0.9, 5e-4
SETTINGS = dict(lr=LR, momentum=MOMENTUM, weight_decay=DECAY)


def trajectory(optimizer, parameter, grads) -> np.ndarray:
    """Values (steps + 1, P) of a parameter under the gradients."""
    values = [parameter.detach().clone()]
    for grad in grads:
        parameter.grad = grad.clone()
        optimizer.step()
        assert torch.equal(parameter.grad, grad)
        values.append(parameter.detach().clone())
    return torch.stack(values).numpy()


@pytest.mark.parametrize('repeats', [1, 3, 4])
def test_trajectories_of_the_releases(repeats):
    case = np.load(golden_file('sgd_repeated_updates.npz'))
    expected = case[f'params_{repeats}']
    parameter = nn.Parameter(torch.from_numpy(expected[0].copy()))
    group = dict(params=[parameter], repeats=repeats)
    found = trajectory(
        RepeatedSGD([group], **SETTINGS),
        parameter,
        torch.from_numpy(case[f'grads_{repeats}']),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize('accumulate', [True, False])
def test_recurrence_number_by_number(accumulate):
    parameter = nn.Parameter(torch.randn(4, dtype=torch.double))
    grads = torch.randn(6, 4, dtype=torch.double)
    expected = parameter.detach().numpy().copy()
    for index in range(4):
        p, v = expected[index], 0.0
        for grad in grads[:, index].tolist():
            g = grad
            for _ in range(3):
                g = (g if accumulate else grad) + 0.1 * p
                v = 0.9 * v + g
                p -= 0.01 * v
        expected[index] = p
    optimizer = RepeatedSGD(
        [dict(params=[parameter], repeats=3)],
        lr=0.01,
        momentum=0.9,
        weight_decay=0.1,
        accumulate_decay=accumulate,
    )
    found = trajectory(optimizer, parameter, grads)[-1]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_once_is_plain_sgd():
    parameter = nn.Parameter(torch.randn(5))
    twin = copy.deepcopy(parameter)
    grads = torch.randn(4, 5)
    np.testing.assert_allclose(
        trajectory(RepeatedSGD([parameter], **SETTINGS), parameter, grads),
        trajectory(torch.optim.SGD([twin], **SETTINGS), twin, grads),
        rtol=1e-6,
    )


def displacement(optimizer: type, grads: torch.Tensor, **group) -> np.ndarray:
    parameter = nn.Parameter(torch.ones(grads.shape[1], dtype=torch.double))
    settings = {**SETTINGS, **group}
    values = trajectory(
        optimizer([dict(params=[parameter], **settings)], lr=LR),
        parameter,
        grads,
    )
    return values[-1] - values[0]


def test_how_near_the_approximation_is():
    """The figures of docs/adversarial.md: noisy gradients, 1000 steps."""
    generator = torch.Generator().manual_seed(0)
    grads = 0.1 + torch.randn(
        1000, 64, dtype=torch.double, generator=generator
    )

    def error(found: np.ndarray) -> float:
        return np.linalg.norm(found - exact) / np.linalg.norm(exact)

    sgd = torch.optim.SGD
    exact = displacement(RepeatedSGD, grads, repeats=3)
    plain = displacement(sgd, grads)
    decays_alone = displacement(RepeatedSGD, grads, repeats=1)
    near = displacement(sgd, grads, lr=3 * LR, weight_decay=2 * DECAY)
    np.testing.assert_allclose(plain, decays_alone, rtol=1e-9)
    assert error(plain) == pytest.approx(0.669, abs=5e-4)
    assert error(near) == pytest.approx(0.0125, abs=5e-4)


def test_a_config_says_how_often():
    model = nn.ModuleDict(
        dict(
            backbone=MODELS.build(
                dict(
                    type='ResNet',
                    depth=50,
                    norm_cfg=dict(type='BN', requires_grad=False),
                )
            ),
            decode_head=nn.Conv2d(8, 2, 1),
        )
    )
    wrapper = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(type='RepeatedSGD', **SETTINGS),
            paramwise_cfg=dict(
                custom_keys={
                    'layer': dict(repeats=3),
                    'downsample': dict(repeats=4),
                    'head': dict(lr_mult=10.0),
                }
            ),
        ),
    )
    found = {
        id(p): (group['repeats'], group['lr'])
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    for name, p in model.named_parameters():
        if not p.requires_grad:
            assert id(p) not in found
            continue
        # Once for every module from the layer down to the convolution.
        modules = name.split('.')[1:-1]
        repeats = len(modules) if 'backbone' in name else 1
        rate = LR if 'backbone' in name else 10 * LR
        assert found[id(p)] == (repeats, rate), name


def test_the_state_goes_on():
    parameter = nn.Parameter(torch.randn(3))
    grads = torch.randn(4, 3)
    optimizer = RepeatedSGD([dict(params=[parameter], repeats=3)], **SETTINGS)
    trajectory(optimizer, parameter, grads[:2])
    twin = copy.deepcopy(parameter)
    other = RepeatedSGD([dict(params=[twin])], **SETTINGS)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    np.testing.assert_array_equal(
        trajectory(optimizer, parameter, grads[2:]),
        trajectory(other, twin, grads[2:]),
    )


@pytest.mark.parametrize('repeats', [0, 1.5])
def test_impossible_repeats(repeats):
    group = dict(params=[nn.Parameter(torch.zeros(1))], repeats=repeats)
    with pytest.raises(UserError, match=f'repeats={repeats}, expected'):
        RepeatedSGD([group], lr=0.1)
