# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""One sigmoid output is two classes, for every method."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from mmseg_cag.analysis.model_selection.score_run import Scorer
from mmseg_cag.engine.records.watched_images import WatchedImages
from mmseg_cag.errors import UserError
from mmseg_cag.inference.export_onnx import DeploymentModel
from mmseg_cag.launch.settings import check_settings
from mmseg_cag.models.binary import two_class_scores
from mmseg_cag.workflows.pseudo_labels import make
from tests import finished, tiny
from tests.test_models.test_absent_classes import METHODS

SIGMOID = dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True)


def config(name: str, classes: int = 1, outputs: int = 1) -> ConfigDict:
    cfg = ConfigDict(METHODS[name]())
    cfg.decode_head.update(
        num_classes=classes, threshold=0.5, out_channels=outputs
    )
    if name != 'clan' and outputs == 1:
        cfg.decode_head.loss_decode = dict(SIGMOID)
    if 'feature_distance' in cfg:
        cfg.feature_distance.things = [1]
    return cfg


def build(name: str, classes: int = 1) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(config(name, classes))
    model.init_weights()
    return model.train()


def twins(name: str, **test_cfg) -> list[nn.Module]:
    """A network of one sigmoid z and one of two outputs, 0 and z."""
    torch.manual_seed(0)
    found = []
    for outputs in (1, 2):
        cfg = config(name, outputs, outputs)
        cfg.test_cfg.update(test_cfg)
        found.append(MODELS.build(cfg).eval())
    one, two = found
    torch.nn.init.normal_(one.decode_head.conv_seg.weight, std=3)
    two.load_state_dict(as_two(one.state_dict()))
    return found


def as_two(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a twin: the background's score is 0."""
    return {
        key: torch.cat([torch.zeros_like(value), value])
        if 'decode_head.conv_seg' in key
        else value
        for key, value in state.items()
    }


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


WINDOWS = dict(mode='slide', crop_size=(32, 32), stride=(16, 16))


@torch.no_grad()
@pytest.mark.parametrize(
    'test_cfg',
    [
        dict(softmax_first=True, single_resize=True),  # BDL
        dict(softmax_first=True),
        dict(softmax_windows=True, **WINDOWS),  # VFM-UDA
        dict(softmax_windows=True, softmax_first=True, **WINDOWS),
    ],
)
def test_probabilities_that_are_resized_are_those_of_two_outputs(test_cfg):
    one, two = twins('adversarial', **test_cfg)
    images = tiny.random_images(1)
    for threshold in (0.1, 0.5, 0.9):
        one.decode_head.threshold = threshold
        found, expected = (
            model.test_step(
                dict(inputs=images, data_samples=[tiny.random_sample(False)])
            )[0]
            for model in (one, two)
        )
        foreground = expected.seg_logits.data[1:]
        torch.testing.assert_close(found.seg_logits.data, foreground)
        labels = found.pred_sem_seg.data
        assert torch.equal(labels == 1, found.seg_logits.data > threshold)
        assert labels.unique().tolist() == [0, 1]
        if threshold == 0.5:
            assert torch.equal(labels, expected.pred_sem_seg.data)


def test_pseudo_labels_are_those_of_two_outputs():
    image = tiny.random_images(1)
    found, expected = (
        make.predict(
            model,
            dict(inputs=list(image), data_samples=[tiny.random_sample()]),
        )
        for model in twins('adversarial')
    )
    assert torch.equal(found[0], expected[0])
    assert found[0].unique().tolist() == [0, 1]
    torch.testing.assert_close(found[1], expected[1])


def test_its_confidence_is_that_of_two_outputs():
    sample = dict(
        inputs=tiny.random_images(1)[0],
        data_samples=tiny.random_sample(False),
    )
    images = WatchedImages([[sample]], 'source')
    one, two = (images.confidence(model) for model in twins('dacs'))
    assert one == pytest.approx(two) and one < 0.99


@torch.no_grad()
def test_an_export_has_two_classes():
    images = torch.rand(1, 3, *tiny.SIZE) * 255
    one, two = (
        DeploymentModel(student_of(model))(images) for model in twins('dacs')
    )
    torch.testing.assert_close(one, two)


def student_of(model: nn.Module) -> nn.Module:
    """The network alone, with a stock preprocessor."""
    model.data_preprocessor = model.data_preprocessor.of('target')
    return model


def test_scores_without_labels_are_those_of_two_outputs(tmp_path):
    folder = finished.write_run(tmp_path)
    cfg = Config.fromfile(folder / 'config.py')
    state = twins('dacs')[0].state_dict()
    found = []
    for outputs, weights in ((1, state), (2, as_two(state))):
        cfg.model = config('dacs', outputs, outputs)
        path = Path(tmp_path, f'{outputs}.pth')
        torch.save({'state_dict': weights}, path)
        found.append(Scorer.of(cfg, 2, 50)(path))
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert found[0]['entropy'] > 0 and found[0]['source_mIoU'] < 100


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
