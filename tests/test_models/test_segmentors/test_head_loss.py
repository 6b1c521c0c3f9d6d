# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_cag.models.losses.head_loss import head_loss
from tests import tiny

IGNORED = 255
LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('over_labelled', [False, True])
@pytest.mark.parametrize('hard', [False, True])
def test_losses_are_those_of_the_head_itself(over_labelled, hard, layout):
    cfg = tiny.cag()
    if hard:
        cfg['decode_head']['sampler'] = dict(
            type='OHEMPixelSampler', thresh=0.1, min_kept=1000
        )
    head = MODELS.build(cfg).decode_head
    head.loss_decode.avg_non_ignore = over_labelled
    scores = torch.randn(2, head.num_classes, 8, 16)
    scores = scores.contiguous(memory_format=layout).requires_grad_()
    labels = torch.randint(head.num_classes, (2, 1, 32, 64))
    labels[:, :, :5] = IGNORED
    samples = []
    for label in labels:
        samples.append(SegDataSample())
        samples[-1].gt_sem_seg = PixelData(data=label)
    actual = head_loss(head, scores, labels.squeeze(1))
    expected = head.loss_by_feat(scores, samples)
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(actual[key], value.reshape(()))
    gradients = [
        torch.autograd.grad(losses['loss_ce'], scores)[0]
        for losses in (actual, expected)
    ]
    torch.testing.assert_close(*gradients)
    if over_labelled:
        assert gradients[0].is_contiguous(memory_format=layout)
