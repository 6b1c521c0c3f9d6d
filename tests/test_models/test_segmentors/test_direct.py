# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_cag.errors import UserError
from tests import tiny

ORIGINAL = (50, 90)


def build(kind: str = 'SingleResizeEncoderDecoder', **test_cfg):
    config = tiny.segmentor()
    config.type = kind
    config.test_cfg = dict(mode='whole', **test_cfg)
    model = MODELS.build(config).eval()
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    return model


def predict(model, images, padding=(0, 0, 0, 0)) -> torch.Tensor:
    meta = dict(
        ori_shape=ORIGINAL,
        img_shape=tiny.SIZE,
        img_padding_size=padding,
        img_path='a.png',
    )
    samples = [SegDataSample(metainfo=meta) for _ in images]
    results = model.predict(images, samples)
    return torch.stack([r.seg_logits.data for r in results])


@torch.no_grad()
@pytest.mark.parametrize('softmax_first', [False, True])
@pytest.mark.parametrize('single_resize', [False, True])
def test_switches(softmax_first, single_resize):
    model = build(softmax_first=softmax_first, single_resize=single_resize)
    images = torch.randn(2, 3, *tiny.SIZE)
    expected = model._forward(images)
    assert expected.shape[2:] == (tiny.SIZE[0] // 4, tiny.SIZE[1] // 4)
    if softmax_first:
        expected = expected.softmax(1)
    sizes = [ORIGINAL] if single_resize else [tiny.SIZE, ORIGINAL]
    for size in sizes:
        expected = F.interpolate(expected, size, mode='bilinear')
    torch.testing.assert_close(predict(model, images), expected)


@torch.no_grad()
def test_without_switches_it_is_the_stock_segmentor():
    model, stock = build(), build('EncoderDecoder')
    stock.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, *tiny.SIZE)
    assert torch.equal(predict(model, images), predict(stock, images))
    # And the switches matter.
    once = build(single_resize=True)
    once.load_state_dict(model.state_dict())
    assert not torch.allclose(predict(model, images), predict(once, images))


@torch.no_grad()
def test_what_a_single_resize_cannot_do():
    with pytest.raises(UserError, match="single_resize with mode='slide'"):
        config = tiny.segmentor()
        config.type = 'SingleResizeEncoderDecoder'
        config.test_cfg = ConfigDict(mode='slide', single_resize=True)
        MODELS.build(config)
    images = torch.randn(1, 3, *tiny.SIZE)
    with pytest.raises(UserError, match='a.png: padded by'):
        predict(build(single_resize=True), images, padding=(0, 8, 0, 0))
