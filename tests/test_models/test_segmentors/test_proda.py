# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.class_means import class_feature_sums
from mmseg_cag.models.segmentors.prototypes import Maps, PrototypeSegmentor
from mmseg_cag.models.strong_augmentation import cut_out, draw_cutout
from tests import tiny
from tests.test_distributed import train_two
from tests.test_models.test_segmentors.test_dacs import batch, losses_of

MOMENTUM = dict(type='Teacher', momentum=0.3)


def settings(**changes) -> dict:
    model = dict(tiny.segmentor(), type='ProDASegmentor')
    bank = dict(type='AnchorBank', level='image', min_pixels=1)
    return {
        **model,
        'prototypes': bank,
        'momentum_teacher': MOMENTUM,
        **changes,
    }


def build(**changes) -> nn.Module:
    """A model whose stage has begun."""
    torch.manual_seed(0)
    model = MODELS.build(settings(**changes))
    model.init_weights()
    model.start_stage()
    means = model.prototypes.new_centroids()
    model.collect_means(means, images_of(model))
    model.prototypes.store(means)
    return model.train()


def images_of(model: nn.Module) -> Tensor:
    return model.data_preprocessor(batch(), True)['inputs']['target']


def test_prototypes_begin_as_means_of_what_is_predicted():
    model = build()
    model.teacher.update_parameters(model)
    output = model.teacher(images_of(model))
    labels = output.logits[0].argmax(1)
    sums, counts = class_feature_sums(output.feat, labels, 19)
    per_image = sums / counts.clamp(min=1)[..., None]
    used = (counts > 0).float()
    expected = per_image.sum(0) / used.sum(0).clamp(min=1)[:, None]
    torch.testing.assert_close(model.prototypes.anchors, expected)


def test_prototypes_move_image_by_image():
    model = build(prototype_momentum=0.25)
    before = model.prototypes.anchors.clone()
    known = model.prototypes.counts > 0
    feat, logits = torch.randn(2, 8, 8, 16), torch.randn(2, 19, 8, 16)
    model.move_prototypes(Maps(feat, logits))
    expected, labels = before.clone(), logits.argmax(1)
    for n in range(2):
        for k in range(19):
            own = feat[n][:, labels[n] == k]
            if own.numel():
                mean = own.mean(1)
                if known[k]:
                    mean = 0.75 * expected[k] + 0.25 * mean
                expected[k] = mean
                known[k] = True
    actual = model.prototypes.anchors
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_the_labels_are_the_soft_ones_times_the_nearness():
    model = build()
    images = images_of(model)
    model.momentum_teacher.update_parameters(model)
    momentum = model.at_labels(model.momentum_teacher(images), images)
    weak = model.at_labels(model.forward_student(images), images)
    labels = model.label_target(images, weak, momentum)
    soft = model.teacher(images).logits[0].softmax(1)
    distances = (
        momentum.feat[:, None] - model.prototypes.anchors[:, :, None, None]
    ).norm(dim=2)
    absent = model.prototypes.counts == 0
    distances[:, absent] = torch.inf
    expected = (soft * (-distances).softmax(1)).argmax(1)
    assert torch.equal(labels, expected)


def test_padding_has_no_label_and_moves_no_prototype():
    model = build(prototype_momentum=0.5)
    images, samples = images_of(model), tiny.padded_samples()
    output = model.momentum_teacher(images)
    momentum = model.at_labels(output, images, samples)
    whole = momentum._replace(padding=None)
    expected = model.label_target(images, whole, whole)
    expected[0, -2:] = 255
    labels = model.label_target(images, whole, momentum)
    assert torch.equal(labels, expected)
    # What is in padding does not matter.
    feat, logits = momentum.feat.clone(), momentum.logits.clone()
    feat[0, :, -2:], logits[0, :, -2:] = 9, torch.randn(19, 2, 16)
    losses, prototypes = [], []
    for maps in (momentum, Maps(feat, logits, momentum.padding)):
        one = copy.deepcopy(model)
        torch.manual_seed(0)
        losses.append(one.consistency_loss(images, maps, torch.Generator()))
        one.move_prototypes(maps)
        prototypes.append(one.prototypes.anchors)
    assert losses[0] == losses[1]
    assert torch.equal(*prototypes)


def test_a_step_reads_the_padding():
    data = build().data_preprocessor(batch(), True)
    whole = build()(**data, mode='loss')
    data['data_samples']['target'] = tiny.padded_samples()
    model = build()
    found = model(**data, mode='loss')
    for name in ('target.loss_ce', 'target.loss_consistency'):
        assert found[name] != whole[name] and found[name].isfinite()


def test_a_threshold_ignores():
    model = build(threshold=1.0)
    losses = losses_of(model)
    assert losses['target.loss_ce'] == losses['target.loss_rce'] == 0
    assert losses['target.loss_kld'] > 0
    assert losses['target.loss_consistency'] > 0


@pytest.mark.parametrize(
    ('key', 'value'), [('threshold', 1.1), ('prototype_momentum', -0.1)]
)
def test_shares_out_of_range(key, value):
    message = f'model.{key}={value}, expected a number in 0..1'
    with pytest.raises(UserError, match=message):
        build(**{key: value})


def test_the_momentum_network_copies_once_and_then_follows():
    model = build()
    weight = model.backbone.layers[0].conv.weight
    own = model.momentum_teacher.module.backbone.layers[0].conv.weight
    losses_of(model)
    assert torch.equal(own, weight)
    first = weight.detach().clone()
    weight.data += 1
    losses_of(model)
    torch.testing.assert_close(own, first + 0.3)
    frozen = model.teacher.module.backbone.layers[0].conv.weight
    assert torch.equal(frozen, first)
    dropout = model.momentum_teacher.module.decode_head.dropout
    assert dropout.training  # as released


def test_a_square_of_a_third_is_cut_out():
    images = torch.zeros(2, 3, 30, 60)
    value = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    centres = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    cut, seen = cut_out(images, centres, value)
    assert (~seen).sum((1, 2)).tolist() == [100, 25]
    assert torch.equal(cut[:, 1] == 2, ~seen)
    drawn = draw_cutout(3, torch.Generator().manual_seed(0))
    assert drawn.shape == (3, 2)


@pytest.mark.parametrize('height', [29, 30, 31, 32])
def test_images_that_are_no_multiple_of_the_stride(height):
    model = build()
    data = model.data_preprocessor(batch(), True)
    target = data['inputs']['target'][:, :, :height, : height - 1]
    data['inputs']['target'] = target
    assert model(**data, mode='loss')['target.loss_consistency'] > 0


def test_a_view_is_seen_at_the_centres_of_labels():
    seen = torch.arange(11 * 9).view(1, 11, 9)
    model = SimpleNamespace(label_stride=4)
    centres = PrototypeSegmentor.at_centres(model, seen)
    assert centres.tolist() == [[[20, 24], [56, 60]]]


def test_observers_change_nothing():
    plain, seen = build(), {}
    watched = copy.deepcopy(plain)
    watched.observers.append(lambda **maps: seen.update(maps))
    first, second = losses_of(plain), losses_of(watched)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert seen.keys() == {'images', 'student', 'teacher', 'probability'}
    assert seen['student'].shape[-2:] == seen['probability'].shape[-2:]


def config(root, name: str) -> Config:
    cfg = tiny.run_config(root, root / name)
    cfg.model = settings()
    cfg.default_hooks.anchors = None
    cfg.default_hooks.pop('anchors')
    cfg.default_hooks.prototypes = dict(type='PrototypeHook')
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    return cfg


def test_prototypes_are_of_the_precision_of_the_step(tmp_path, monkeypatch):
    met, collect = [], PrototypeSegmentor.collect_means

    def noted(model: nn.Module, means: object, images: Tensor) -> None:
        met.append(torch.is_autocast_cpu_enabled())
        collect(model, means, images)

    monkeypatch.setattr(PrototypeSegmentor, 'collect_means', noted)
    tiny.write_towns(tmp_path)
    cfg = config(tmp_path, 'half')
    cfg.train_cfg.update(stages=1, stage_iters=1)
    cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    Runner.from_cfg(cfg).train()
    assert met and all(met)


@pytest.mark.parametrize(('iteration', 'workers'), [(3, 0), (4, 0), (4, 2)])
def test_a_resumed_run_has_the_same_weights(tmp_path, iteration, workers):
    """At the boundary of two stages, and within one."""
    tiny.write_towns(tmp_path)
    weights = []
    for name in ('whole', 'again'):
        cfg = config(tmp_path, name)
        cfg.train_dataloader.num_workers = workers
        if name == 'again':
            path = tmp_path / 'whole' / f'iter_{iteration}.pth'
            cfg.update(resume=True, load_from=str(path))
        runner = Runner.from_cfg(cfg)
        runner.train()
        weights.append(runner.model.state_dict())
    for key, value in weights[0].items():
        assert torch.equal(weights[1][key], value), key
    assert weights[0]['stage'] == 2


@pytest.mark.long
def test_two_ranks_hold_the_same(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = config(tmp_path, 'two')
    cfg.train_cfg.stage_iters = 5
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    train_two(tmp_path, cfg)
    first, second = (
        torch.load(tmp_path / 'two' / f'rank{rank}_10.pth')['state_dict']
        for rank in (0, 1)
    )
    assert first['prototypes.counts'].any()
    for key in first:
        if 'running_mean' not in key and 'running_var' not in key:
            assert torch.equal(first[key], second[key]), key
