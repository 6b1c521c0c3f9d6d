# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Parameters of the same settings share a group."""

from __future__ import annotations

import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

CONFIGS = ('dacs/segformer_mit-b2_gta2cs', 'adaptsegnet/deeplabv2_gta2cs')
MERGED = 'MergedOptimWrapperConstructor'


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)
        )
        self.decode_head = nn.Conv2d(4, 2, 1)
        self.teacher = nn.Conv2d(3, 4, 3).requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.decode_head(self.backbone(images))


def build(model: nn.Module, constructor: str, kind: str) -> OptimWrapper:
    torch.manual_seed(0)
    optimizer = dict(type=kind, lr=0.1, weight_decay=0.01)
    keys = {'head': dict(lr_mult=10.0), '1': dict(decay_mult=0.0)}
    return build_optim_wrapper(
        model,
        dict(
            constructor=constructor,
            type='OptimWrapper',
            optimizer=optimizer,
            paramwise_cfg=dict(custom_keys=keys, bias_decay_mult=0.0),
        ),
    )


def settings(model: nn.Module, wrapper: OptimWrapper) -> dict:
    names = {part: name for name, part in model.named_parameters()}
    return {
        names[part]: {k: v for k, v in group.items() if k != 'params'}
        for group in wrapper.optimizer.param_groups
        for part in group['params']
    }


def test_each_parameter_has_the_settings_of_mmengine():
    model = Network()
    merged = build(model, MERGED, 'AdamW')
    plain = build(model, 'DefaultOptimWrapperConstructor', 'AdamW')
    found, expected = settings(model, merged), settings(model, plain)
    assert found == expected
    assert not any(name.startswith('teacher') for name in found)
    assert len(plain.optimizer.param_groups) == 8
    groups = merged.optimizer.param_groups
    assert len(groups) == len({repr(s) for s in expected.values()}) == 4


@pytest.mark.parametrize('kind', ['SGD', 'Adam', 'AdamW'])
def test_updates_are_the_same(kind):
    images, weights = torch.rand(2, 3, 8, 8), []
    for constructor in (MERGED, 'DefaultOptimWrapperConstructor'):
        torch.manual_seed(0)
        model = Network()
        wrapper = build(model, constructor, kind)
        for _ in range(3):
            wrapper.update_params(model(images).square().mean())
        weights.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(*weights)


def test_frozen_parts_are_not_told_of(caplog):
    logger = MMLogger.get_current_instance()
    with caplog.at_level(logging.WARNING, logger.name):
        logger.addHandler(caplog.handler)
        build(Network(), MERGED, 'AdamW')
        logger.removeHandler(caplog.handler)
    assert not caplog.records


@pytest.mark.parametrize('name', CONFIGS)
def test_the_configs_use_it(name):
    cfg = Config.fromfile(f'configs/{name}.py').optim_wrapper
    of = cfg.members.student if 'members' in cfg else cfg
    assert of.constructor == MERGED
