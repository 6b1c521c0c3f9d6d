# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Heads whose features are the input of their classifier."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

CLASSES = 5
ARGS = dict(num_classes=CLASSES, in_index=-1, align_corners=True)
PRODA = dict(type='ProDAHead', in_channels=64, channels=32, **ARGS)
CAG = dict(
    type='DeepLabV3PlusHead',
    in_channels=64,
    channels=32,
    c1_in_channels=16,
    c1_channels=8,
    **ARGS,
)
HEADS = pytest.mark.parametrize('config', [PRODA, CAG])


def levels():
    return torch.rand(2, 16, 16, 24), torch.rand(2, 64, 5, 7)


def classifier_input(head, inputs):
    seen = []
    handle = head.conv_seg.register_forward_pre_hook(
        lambda _, args: seen.append(args[0])
    )
    logits = head(inputs)
    handle.remove()
    return seen[0], logits


@HEADS
def test_logits_are_the_classifier_of_the_features(config):
    head = MODELS.build(config).eval()
    feat, logits = classifier_input(head, levels())
    assert feat.shape[:2] == (2, 32)
    torch.testing.assert_close(logits, head.conv_seg(feat))


@HEADS
def test_mmseg_trains_with_it(config):
    head = MODELS.build(config)
    samples = [
        SegDataSample(
            gt_sem_seg=PixelData(data=torch.randint(0, CLASSES, (1, 64, 96)))
        )
        for _ in range(2)
    ]
    head.loss(levels(), samples, {})['loss_ce'].backward()
    assert all(p.grad is not None for p in head.parameters())


def test_proda_features_are_signed_and_dropped_by_channel():
    head = MODELS.build(dict(PRODA, dropout_ratio=0.5)).train()
    feat, _ = classifier_input(head, levels())
    dropped = (feat == 0).flatten(2).float().mean(2)
    assert set(dropped.unique().tolist()) == {0, 1}
    assert feat.min() < 0 < feat.max()


def test_cag_features_are_positive_and_dropped_by_element():
    head = MODELS.build(dict(CAG, dropout_ratio=0.9)).train()
    feat, _ = classifier_input(head, levels())
    assert feat.shape[2:] == (16, 24)
    assert feat.min() >= 0
    # Nine in ten and the half that is negative, mixed within each channel.
    dropped = (feat == 0).flatten(2).float().mean(2)
    assert ((dropped > 0.8) & (dropped < 1)).all()


def test_cag_inner_dropouts_act_while_training_only():
    head = MODELS.build(dict(CAG, dropout_ratio=0))
    inputs = levels()
    assert not torch.equal(head.train()(inputs), head(inputs))
    assert torch.equal(head.eval()(inputs), head(inputs))


def test_proda_initialisation():
    head = MODELS.build(dict(PRODA, in_channels=512))
    head.init_weights()
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            std = module.weight.std().item()
            assert std == pytest.approx(0.01, rel=0.15)
    assert head.conv_seg.bias is None
    assert (head.bottleneck.conv.bias == 0).all()
    for branch in head.branches:
        fan_in = branch.conv.weight[0].numel()
        assert 0 < branch.conv.bias.abs().max() <= fan_in**-0.5


def test_proda_can_normalise_its_input():
    head = MODELS.build(dict(PRODA, input_bn=True)).train()
    head(levels())
    assert head.input_bn.num_batches_tracked == 1


def test_cag_initialisation_is_kaiming_by_fan_in():
    head = MODELS.build(dict(CAG, in_channels=256))
    head.init_weights()
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            std = module.weight.std().item()
            assert std == pytest.approx((2 / fan_in) ** 0.5, rel=0.15)
    assert (head.conv_seg.bias == 0).all()
