# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_cag.errors import UserError
from tests import tiny
from tests.golden import golden_file

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


def test_windows_meet_in_their_probabilities():
    golden = np.load(golden_file('foundation/vfmuda_small.npz'))
    logits = torch.from_numpy(golden['slide/crop_logits'])
    cfg = tiny.segmentor()
    cfg.type = 'SingleResizeEncoderDecoder'
    cfg.test_cfg = dict(
        mode='slide', crop_size=(8, 8), stride=(4, 4), softmax_windows=True
    )
    cfg.decode_head.num_classes = logits.shape[1]
    model = MODELS.build(cfg)
    windows = iter(logits.split(1))
    model._forward = lambda inputs: next(windows)
    meta = dict(img_shape=(8, 16), ori_shape=(8, 16))
    found = model.slide_inference(torch.zeros(1, 3, 8, 16), [meta])
    expected = torch.from_numpy(golden['slide/probability'])
    assert torch.allclose(found[0], expected, atol=1e-6)


def test_windows_are_needed_for_it():
    cfg = tiny.segmentor()
    cfg.type = 'SingleResizeEncoderDecoder'
    cfg.test_cfg = dict(mode='whole', softmax_windows=True)
    with pytest.raises(UserError, match="softmax_windows with mode='whole'"):
        MODELS.build(cfg)
