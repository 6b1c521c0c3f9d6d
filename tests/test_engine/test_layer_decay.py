# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Learning rates of an encoder's blocks, and their schedule."""

from __future__ import annotations

import json

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmseg_cag.engine.optim.poly_restart import PolyRestartLR
from mmseg_cag.errors import UserError
from tests.test_models.test_backbones.test_dinov2 import Golden


class Part(nn.Module):
    """Parameters by the names of a list, of one number each."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        for name in names:
            *path, last = name.split('.')
            owner = self
            for part in path:
                if part not in dict(owner.named_children()):
                    owner.add_module(part, nn.Module())
                owner = owner.get_submodule(part)
            owner.register_parameter(last, nn.Parameter(torch.zeros(1)))


class Blocks(nn.ModuleList):
    pass


def rates(names: list[str], depth: int, lr: float, **paramwise) -> dict:
    model = Part(names)
    blocks = nn.ModuleList(
        model.backbone.blocks.get_submodule(str(i)) for i in range(depth)
    )
    model.backbone.blocks = blocks
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor='EncoderOptimWrapperConstructor',
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=lr, weight_decay=0.01),
            paramwise_cfg=paramwise,
        ),
    )
    by_name = {p: name for name, p in model.named_parameters()}
    return {
        by_name[p]: group['lr']
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }


@pytest.mark.parametrize(('size', 'depth'), [('vitb', 12), ('vitl', 24)])
@pytest.mark.parametrize('devices', [1, 4])
def test_the_rates_of_vfm_uda(size, depth, devices):
    golden = Golden('vfmuda_small')
    expected = golden.values[f'lr/{size}/devices{devices}_batch2']
    groups = json.loads(str(golden.values['lr/vitl/groups']))
    if depth == 12:
        groups = [groups[0], *groups[13:]]
    names = [
        name.replace('encoder.', 'backbone.')
        if name.startswith('encoder.')
        else f'decode_head.{name}'
        for group in groups
        for name in group
    ]
    found = rates(names, depth, 5e-5 * (2 * devices) ** 0.5, encoder_mult=0.1)
    assert len(found) == len(names)
    position = 0
    for group, rate in zip(groups, expected, strict=True):
        for name in names[position : position + len(group)]:
            assert found[name] == pytest.approx(rate, rel=1e-6)
        position += len(group)


@pytest.mark.parametrize(
    ('key', 'depth', 'lr'), [('base_5e-5', 12, 5e-5), ('large_1e-5', 24, 1e-5)]
)
def test_the_rates_of_vfm_uda_plus(key, depth, lr):
    golden = Golden('vfmudapp_small')
    expected = golden.values[f'lr/{key}']
    groups = json.loads(str(golden.values[f'lr/{key}/groups']))
    firsts = [
        name.replace('network.encoder.', 'backbone.')
        for *some, _ in groups
        for name in some[:1]
    ]
    found = rates(
        firsts, depth, lr * 8**0.5, encoder_mult=0.1, layer_decay=0.9
    )
    for name, rate in zip(firsts, expected, strict=True):
        assert found[name] == pytest.approx(rate, rel=1e-6)


def test_the_schedule_of_vfm_uda():
    golden = Golden('vfmuda_small')
    factors = golden.values['schedule/factor']
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = PolyRestartLR(
        optimizer,
        power=1.0,
        warmup_iters=1500,
        warmup_from=0.001,
        end=40_000,
        by_epoch=False,
    )
    for step, factor in zip(
        golden.values['schedule/index'].tolist(), factors, strict=True
    ):
        if step < 40_000:
            scheduler.last_step = step
            assert scheduler._get_value() == pytest.approx([factor], abs=1e-9)


def test_what_is_not_trained_is_in_no_group():
    names = ['backbone.pos_embed', 'backbone.blocks.0.w', 'decode_head.w']
    model = Part(names)
    model.backbone.blocks = nn.ModuleList(model.backbone.blocks.children())
    model.backbone.requires_grad_(False)
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor='EncoderOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=1.0),
        ),
    )
    [group] = wrapper.optimizer.param_groups
    assert group['params'] == [model.decode_head.w]


def test_other_settings_and_backbones_are_refused():
    with pytest.raises(UserError, match='paramwise_cfg.custom_keys'):
        rates(['backbone.blocks.0.w'], 1, 1.0, custom_keys={})
    with pytest.raises(UserError, match='no backbone.blocks'):
        build_optim_wrapper(
            nn.Linear(1, 1),
            dict(
                constructor='EncoderOptimWrapperConstructor',
                optimizer=dict(type='AdamW', lr=1.0),
            ),
        )
