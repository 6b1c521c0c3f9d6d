# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""One sigmoid output is two classes, for every method."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from mmseg_cag.errors import UserError
from mmseg_cag.launch.settings import check_settings
from mmseg_cag.models.binary import two_class_scores
from tests import tiny
from tests.test_models.test_absent_classes import METHODS

SIGMOID = dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True)


def build(name: str, classes: int = 1) -> nn.Module:
    torch.manual_seed(0)
    cfg = ConfigDict(METHODS[name]())
    cfg.decode_head.update(num_classes=classes, threshold=0.5, out_channels=1)
    if name != 'clan':
        cfg.decode_head.loss_decode = dict(SIGMOID)
    if 'feature_distance' in cfg:
        cfg.feature_distance.things = [1]
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def batch(model: nn.Module, void: bool = False) -> dict:
    torch.manual_seed(1)
    raw = tiny.raw_batch()
    for sample in raw['data_samples']['source']:
        labels = sample.gt_sem_seg.data
        labels[labels != tiny.VOID] %= 2
        if void:
            labels.fill_(tiny.VOID)
    return model.data_preprocessor(raw, True)


def losses_of(model: nn.Module, void: bool = False) -> dict[str, Tensor]:
    data = batch(model, void)
    torch.manual_seed(2)
    return model(**data, mode='loss')


def test_the_scores_have_the_softmax_of_the_sigmoid():
    scores = torch.randn(2, 1, 3, 4)
    both = two_class_scores(scores).softmax(1)
    assert torch.allclose(both[:, 1:], scores.sigmoid())
    assert two_class_scores(both) is both


@pytest.mark.parametrize('classes', [1, 2])
def test_the_loss_is_the_binary_cross_entropy(classes):
    model = build('supervised', classes)
    data = batch(model)
    torch.manual_seed(2)
    found = model(**data, mode='loss')['source.loss_ce']
    labels = torch.cat(
        [s.gt_sem_seg.data for s in data['data_samples']['source']]
    )
    torch.manual_seed(2)
    scores = model.decode_head(model.extract_feat(data['inputs']['source']))
    assert scores.shape[1] == 1
    scores = interpolate(scores, tiny.SIZE, mode='bilinear')[:, 0]
    known = labels != tiny.VOID
    expected = binary_cross_entropy_with_logits(
        scores[known], labels[known].float()
    )
    assert torch.allclose(found, expected)


@pytest.mark.parametrize('name', sorted({*METHODS} - {'hrda'}))
def test_every_method_trains_on_it(name):
    model = build(name)
    losses = losses_of(model)
    assert all(torch.isfinite(loss).all() for loss in losses.values())
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert model.decode_head.conv_seg.bias.grad.any()
    void = losses_of(model, void=True)
    assert all(torch.isfinite(loss).all() for loss in void.values())


def test_it_predicts_by_its_threshold():
    model = build('supervised').eval()
    sample = tiny.random_sample(False)
    image = tiny.random_images(1)
    with torch.no_grad():
        for threshold in (0.1, 0.5, 0.9):
            model.decode_head.threshold = threshold
            [found] = model.test_step(
                dict(inputs=image, data_samples=[sample])
            )
            probability = found.seg_logits.data  # mmseg's name for it
            assert 0 < probability.min() and probability.max() < 1
            expected = probability > threshold
            assert torch.equal(found.pred_sem_seg.data == 1, expected)


def test_heads_of_two_scales_are_refused():
    with pytest.raises(UserError, match='HRDAHead has out_channels=1, one s'):
        build('hrda')


def test_settings_take_it_where_a_model_knows_of_it():
    model = tiny.dacs()
    model.decode_head.update(num_classes=1, threshold=0.5)
    check_settings(Config(dict(model=model)))
    model.type = 'EncoderDecoder'
    with pytest.raises(UserError, match='num_classes=1, expected 2 or more'):
        check_settings(Config(dict(model=model)))
