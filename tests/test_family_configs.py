# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What is set in the configs of the DeepLab-V2 family."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

CONFIGS = Path(__file__).parents[1] / 'configs'


def load(path: str) -> Config:
    return Config.fromfile(CONFIGS / path)


@pytest.mark.parametrize(
    ('path', 'branches'),
    [
        ('adaptsegnet/deeplabv2_gta2cs.py', [2, 2]),
        ('adaptsegnet/deeplabv2_single_gta2cs.py', [2]),
        ('clan/deeplabv2_gta2cs.py', [4, 4]),
    ],
)
def test_active_branches(path, branches):
    with torch.device('meta'):
        model = MODELS.build(load(path).model)
    parts = [m.branches for m in model.modules() if hasattr(m, 'branches')]
    assert [len(part) for part in parts] == branches
    assert model.single_resize and not model.softmax_first


def test_bn_of_live_statistics_and_frozen_affine():
    config = load('_base_/models/deeplabv2_r101.py').model.backbone
    config.update(depth=50, init_cfg=None)
    backbone = MODELS.build(config)
    backbone.train()
    norm = backbone.layer1[0].bn1
    before = norm.running_mean.clone()
    normalised = []
    # At once: the ReLU works in place.
    norm.register_forward_hook(
        lambda *args: normalised.append(args[2].mean().item())
    )
    backbone(torch.randn(2, 3, 32, 64) * 9 + 5)[-1].sum().backward()
    assert not torch.equal(norm.running_mean, before)
    # By the batch itself, not by what has been running.
    assert normalised[0] == pytest.approx(0, abs=1e-5)
    for name, parameter in backbone.named_parameters():
        is_affine = 'bn' in name or 'downsample.1' in name
        assert parameter.requires_grad != is_affine, name
    assert backbone.layer1[0].conv1.weight.grad.any()


@pytest.mark.parametrize('network', ['deeplabv2', 'deeplabv3plus'])
def test_the_warm_up_freezes_the_norms_of_imagenet_alone(network):
    config = load(f'adaptsegnet/{network}_warmup_gta2cs.py').model
    config.backbone.update(depth=50, init_cfg=None)
    with torch.device('meta'):
        model = MODELS.build(config).train()
    found = {True: set(), False: set()}
    for name, part in model.named_modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            found[part.training].add(name.split('.')[0])
            trained = {p.requires_grad for p in part.parameters()}
            assert trained == {part.training}, name
    assert found[False] == {'backbone'}
    # No file fills those of DeepLab-V3+'s head.
    head = {'decode_head'} if network == 'deeplabv3plus' else set()
    assert found[True] == head


def test_the_three_kinds_of_repeated_updates_agree():
    schedule = load('_base_/methods/adversarial.py')
    exact, near, plain = (
        schedule[f'{kind}_updates']
        for kind in ('repeated', 'approximate', 'plain')
    )
    assert schedule.optim_wrapper.members.student == exact
    for kind in (near, plain):
        for key in ('lr', 'momentum', 'weight_decay'):
            assert kind.optimizer[key] == exact.optimizer[key]
        assert kind.paramwise_cfg.custom_keys.head == dict(lr_mult=10.0)
    for key in ('layer', 'downsample'):
        n = exact.paramwise_cfg.custom_keys[key].repeats
        rates = near.paramwise_cfg.custom_keys[key]
        # n steps of one gradient, whose decay grows as 1 + 2 + ... + n.
        assert rates == dict(lr_mult=n, decay_mult=(n + 1) / 2)


@pytest.mark.parametrize(
    'path', sorted(p.stem for p in (CONFIGS / 'cag').glob('deeplab*.py'))
)
def test_deeplab_starts_from_its_adversarial_warm_up(path):
    config = load(f'cag/{path}.py')
    warm_up = Config.fromfile(config.start_from)
    # Cityscapes has labels enough to start from these alone.
    plain = 'source_only' in path or '_cs2' in path
    expected = 'EncoderDecoder' if plain else 'AdversarialSegmentor'
    assert warm_up.model.type == expected
    for part in ('backbone', 'decode_head'):
        assert warm_up.model[part].type == config.model[part].type
    assert warm_up.model.backbone.depth == config.model.backbone.depth
    classes = config.model.decode_head.num_classes
    assert warm_up.model.decode_head.num_classes == classes
