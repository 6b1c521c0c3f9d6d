# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.heads.hrda_head import HRDAHead
from mmseg_cag.models.two_scales import (
    Box,
    TwoScales,
    draw_bounds,
    draw_box,
    paste_windows,
    place_box,
    slide_boxes,
)
from tests import golden
from tests.test_models.test_mixing import reference

# Cases of `hrda_fusion`: what differs from the first one.
CASES = {
    'crop': {},
    'crop_weighted': {},
    'crop_lr_loss': dict(context_weight=0.1),
    'full': {},
    'single': dict(attention_classwise=False),
    'fixed': dict(fixed_attention=0.5),
}


def head(**settings) -> HRDAHead:
    """An `HRDAHead` of six classes whose head hands on what it gets."""
    built = MODELS.build(
        dict(
            type='HRDAHead',
            head='FCNHead',
            in_channels=6,
            channels=6,
            num_classes=6,
            num_convs=1,
            loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=False),
            **settings,
        )
    )
    built.head.forward = lambda maps: maps[0]
    return built.train()


def scales(context: Tensor, detail: Tensor, box: Box) -> TwoScales:
    """The scales of images of 128 x 128 pixels, with one window."""
    made = TwoScales([context])
    made.detail, made.boxes = [detail], [box]
    made.size = made.seen = (128, 128)
    made.divisor = 8
    return made


def close(actual: Tensor, expected: Tensor, share: float = 1e-5) -> None:
    limit = share * expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)


def test_boxes_are_those_of_the_release():
    case = np.load(golden.golden_file('modern/hrda_crop_box.npz'))
    for row in case['table'].tolist():
        size, crop = tuple(row[:2]), tuple(row[2:4])
        divisor, bounds, drawn, edges = row[4], row[5:7], row[7:9], row[9:]
        if -1 in edges:
            continue  # the release fails here
        # Where a crop fills the image nothing is drawn: the only place is 0.
        expected = tuple(bound or 1 for bound in bounds)
        assert draw_bounds(size, crop, divisor) == expected
        top, bottom, left, right = edges
        box = Box(top, bottom, left, right)
        assert place_box(drawn, crop, divisor) == box


def test_a_crop_that_fills_one_axis():
    drawn = {draw_box((128, 192), (128, 64), 8) for _ in range(99)}
    assert {box[:2] for box in drawn} == {(0, 128)}
    assert {box.left for box in drawn} == set(range(0, 128, 8))


@pytest.mark.parametrize('name', CASES)
def test_fusion_and_losses_are_those_of_the_release(name):
    case = reference('hrda_fusion')
    expected = {
        key.split('/')[1]: value
        for key, value in case.items()
        if key.startswith(f'{name}/')
    }
    top, bottom, left, right = case['crop_box'].tolist()
    box = Box(top, bottom, left, right)
    detail = case['hr_logits']
    if name == 'full':
        box, detail = Box(0, 128, 0, 128), case['hr_logits_full']
    single = '_single' if name == 'single' else ''
    given = {
        'lr': case['lr_logits'],
        'hr': detail,
        'attention': case[f'attention_logits{single}'],
    }
    given = {key: value.requires_grad_() for key, value in given.items()}
    built = head(**CASES[name])
    if name != 'fixed':
        built.scale_attention.forward = lambda *_: given['attention']
    scores = built(scales(given['lr'], given['hr'], box))
    weight = case['weight'] if name == 'crop_weighted' else None
    losses = built.pixel_losses(scores, case['label'][:, 0], weight)
    close(scores.fused, expected['fused'])
    close(scores.context, expected['lr_returned'])
    names = {'fused': '', 'hr': 'detail.', 'lr': 'context.'}
    for key, own in names.items():
        if f'loss_{key}' in expected:
            close(losses[f'{own}loss_ce'], expected[f'loss_{key}'])
    total = sum(value for key, value in losses.items() if 'loss' in key)
    total.backward()
    for key, value in given.items():
        if f'grad_{key}' in expected:
            close(value.grad, expected[f'grad_{key}'])


def test_windows_by_a_slow_version():
    size, crop, stride = (40, 72), (24, 32), (16, 16)
    boxes = slide_boxes(size, crop, stride)
    assert [b.top for b in boxes[::4]] == [0, 16]
    assert [b.left for b in boxes[:4]] == [0, 16, 32, 40]
    scores = torch.randn(len(boxes) * 2, 3, *crop)
    pasted = paste_windows(scores, boxes, size)
    for y in range(0, size[0], 5):
        for x in range(0, size[1], 7):
            values = [
                scores[2 * i : 2 * i + 2, :, y - box.top, x - box.left]
                for i, box in enumerate(boxes)
                if box.top <= y < box.bottom and box.left <= x < box.right
            ]
            mean = torch.stack(values).mean(0)
            torch.testing.assert_close(pasted[:, :, y, x], mean)


def test_windows_as_large_as_the_image():
    assert slide_boxes((8, 8), (8, 8), (4, 4)) == [Box(0, 8, 0, 8)]
    apart = slide_boxes((16, 8), (8, 8), (8, 8))
    assert apart == [Box(0, 8, 0, 8), Box(8, 16, 0, 8)]


@pytest.mark.parametrize('share', [0.0, 1.0])
def test_one_scale_alone(share):
    context, detail = torch.randn(2, 6, 16, 16), torch.randn(2, 6, 32, 32)
    built = head(fixed_attention=share).eval()
    whole = scales(context, detail, Box(0, 128, 0, 128))
    up = nn.functional.interpolate(context, (32, 32), mode='bilinear')
    torch.testing.assert_close(built(whole), detail if share else up)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(fixed_attention=1.5), 'fixed_attention=1.5, expected a share'),
        (dict(detail_weight=-0.1), 'detail_weight=-0.1, expected a share'),
        (dict(context_weight=1.5), 'context_weight=1.5, expected a share'),
        (
            dict(detail_weight=0.7, context_weight=0.5),
            'detail_weight=0.7 and context_weight=0.5, expected at most 1',
        ),
    ],
)
def test_shares_out_of_their_range(settings, message):
    with pytest.raises(UserError, match=rf'^model\.decode_head\.{message}'):
        head(**settings)


def test_one_scale_is_not_enough():
    with pytest.raises(UserError, match="type='HRDABackbone'"):
        head()([torch.zeros(1, 6, 4, 4)])


def test_a_stride_that_the_divisor_does_not_suit():
    maps = torch.zeros(1, 6, 8, 8)
    message = 'model.backbone.divisor=8, but images of 128 x 128'
    with pytest.raises(UserError, match=message):
        head()(scales(maps, maps, Box(0, 64, 0, 64)))
