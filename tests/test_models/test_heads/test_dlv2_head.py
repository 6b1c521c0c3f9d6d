# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_cag.models.heads.co_training_head import CoTrainingHead
from mmseg_cag.models.heads.dlv2_head import DLV2Head

CLASSES = 5
ARGS = dict(
    in_channels=8,
    in_index=0,
    num_classes=CLASSES,
    align_corners=True,
    loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
)


def sample(height, width):
    labels = torch.randint(0, CLASSES, (1, height, width))
    labels[:, :2] = 255
    return SegDataSample(
        gt_sem_seg=PixelData(data=labels),
        metainfo=dict(img_shape=(height, width)),
    )


@pytest.mark.parametrize('active', [2, 4])
def test_active_branches_are_summed_and_the_dead_not_built(active):
    head = DLV2Head(**ARGS, active_branches=active)
    x = torch.rand(1, 8, 9, 9)
    want = torch.zeros(1, CLASSES, 9, 9)
    for branch, dilation in zip(head.branches, (6, 12, 18, 24), strict=False):
        want += F.conv2d(
            x, branch.weight, branch.bias, padding=dilation, dilation=dilation
        )
    torch.testing.assert_close(head((x,)), want)
    assert {name.split('.')[1] for name, _ in head.named_parameters()} == {
        str(index) for index in range(active)
    }


def test_initial_biases_are_not_zeroed():
    head = DLV2Head(**{**ARGS, 'in_channels': 512})
    biases = [branch.bias.clone() for branch in head.branches]
    head.init_weights()
    bound = (512 * 9) ** -0.5
    for branch, before in zip(head.branches, biases, strict=True):
        assert branch.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert torch.equal(branch.bias, before)
        assert 0 < branch.bias.abs().max() <= bound


@pytest.mark.parametrize('active', [0, 5])
def test_impossible_number_of_branches_is_refused(active):
    with pytest.raises(ValueError, match=f'active_branches={active}'):
        DLV2Head(**ARGS, active_branches=active)


@pytest.mark.parametrize('kind', ['DLV2Head', 'CoTrainingHead'])
def test_mmseg_trains_and_predicts_with_it(kind):
    head = MODELS.build(dict(type=kind, **ARGS))
    data = sample(17, 25)
    features = (torch.rand(1, 8, 5, 7),)
    losses = head.loss(features, [data], {})
    losses['loss_ce'].backward()
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())
    logits = F.interpolate(
        head(features), (17, 25), mode='bilinear', align_corners=True
    )
    want = F.cross_entropy(logits, data.gt_sem_seg.data, ignore_index=255)
    torch.testing.assert_close(losses['loss_ce'], want)
    torch.testing.assert_close(
        head.predict(features, [data.metainfo], {}), logits
    )


def test_co_training_sums_independent_heads():
    head = CoTrainingHead(**ARGS)
    head.init_weights()
    x = (torch.rand(1, 8, 9, 9),)
    first, second = head.forward_each(x)
    assert not torch.allclose(first, second)
    torch.testing.assert_close(head(x), first + second)
    for child in head.heads:
        # Each head draws its weights by the rule of DLV2Head.
        stds = [branch.weight.std().item() for branch in child.branches]
        assert stds == pytest.approx([0.01] * 4, rel=0.15)
