# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_cag.models.losses.head_loss import head_loss
from tests import release, tiny

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


def test_weighted_losses_are_those_of_the_release():
    case = release.read('pixel_losses')
    head = MODELS.build(tiny.dacs()).decode_head
    head.loss_decode.avg_non_ignore = False
    labels = case['label'][:, 0].long()
    for name, weights in (('source', None), ('mixed', case['weight'])):
        scores = case['logits'].clone().requires_grad_()
        loss = head_loss(head, scores, labels, weights)['loss_ce']
        release.assert_close(loss, case[f'{name}_loss'], 3e-6)
        [gradient] = torch.autograd.grad(loss, scores)
        release.assert_close(gradient, case[f'{name}_grad'], 3e-6)
    void = torch.full_like(labels, IGNORED)
    loss = head_loss(head, case['logits'], void)['loss_ce']
    assert loss == case['all_ignored_loss'] == 0


@pytest.mark.parametrize('over_labelled', [False, True])
def test_weights_multiply_each_pixel(over_labelled):
    head = MODELS.build(tiny.dacs()).decode_head
    head.loss_decode.avg_non_ignore = over_labelled
    labels = torch.randint(head.num_classes, (2, 32, 64))
    labels[:, :5] = IGNORED
    scores, weight = (
        torch.randn(2, head.num_classes, 32, 64),
        torch.rand(labels.shape),
    )
    total = 0.0
    for index in (labels != IGNORED).nonzero().tolist():
        image, y, x = index
        own = scores[image, :, y, x].log_softmax(0)[labels[image, y, x]]
        total -= own.item() * weight[image, y, x].item()
    count = (labels != IGNORED).sum() if over_labelled else labels.numel()
    actual = head_loss(head, scores, labels, weight)['loss_ce']
    torch.testing.assert_close(actual, torch.tensor(total / int(count)))
