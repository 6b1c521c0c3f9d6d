# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.launch.rehearsal import rehearse
from mmseg_cag.models.losses.distillation_losses import (
    confident_labels,
    feature_direction,
    soft_label_divergence,
)
from mmseg_cag.models.renormalise import Renormalise
from mmseg_cag.models.segmentors.base import gt_labels
from tests import tiny
from tests.test_distributed import train_two

OTHER = dict(mean=[100.0, 120.0, 140.0], std=[80.0, 70.0, 60.0])


def write(cfg: dict, path: Path) -> None:
    Config(cfg, format_python_code=False).dump(path)


def finished(
    folder: Path,
    channels: int = 16,
    classes: int = 19,
    seed: int = 4,
    **head,
) -> dict:
    """A run of a wider network of another normalisation, as a teacher."""
    torch.manual_seed(seed)
    model = tiny.segmentor(neck=True)
    model.data_preprocessor.update(OTHER, bgr_to_rgb=False)
    model.neck.out_channels = channels
    model.decode_head.update(
        in_channels=channels, channels=channels, num_classes=classes, **head
    )
    network = MODELS.build(model)
    with torch.no_grad():  # so that it is sure of something
        network.decode_head.conv_seg.weight.mul_(50)
    write(dict(model=model), folder / 'big.py')
    torch.save(dict(state_dict=network.state_dict()), folder / 'big.pth')
    paths = (str(folder / name) for name in ('big.py', 'big.pth'))
    return dict(zip(('config', 'checkpoint'), paths, strict=True))


def student(
    teacher: dict, type_: str = 'DistillSegmentor', **settings
) -> ConfigDict:
    base = tiny.cag() if type_ == 'CAGSegmentor' else tiny.segmentor()
    distillation = dict(teacher=teacher, **settings)
    return ConfigDict(base, type=type_, distillation=distillation)


def build(config: dict) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(config)
    model.init_weights()
    return model.train()


def batch_of(model: nn.Module) -> dict:
    torch.manual_seed(1)
    data = model.data_preprocessor(tiny.raw_batch(), True)
    return {
        key: {name: part[name] for name in model.domains}
        for key, part in data.items()
    }


def losses_of(model: nn.Module) -> dict[str, Tensor]:
    torch.manual_seed(2)
    return model(**batch_of(model), mode='loss')


def test_divergence_by_the_definition():
    logits, target = torch.randn(2, 2, 5, 3, 4).unbind()
    total = 0.0
    for n in range(2):
        for y in range(3):
            for x in range(4):
                scores = (target[n, :, y, x], logits[n, :, y, x])
                p, q = ((s / 3.0).exp() for s in scores)
                p, q = p / p.sum(), q / q.sum()
                total += sum(
                    a * math.log(a / b) for a, b in zip(p, q, strict=True)
                )
    expected = 9 * total / 24
    actual = soft_label_divergence(logits, target, 3.0)
    torch.testing.assert_close(actual, torch.as_tensor(expected))
    assert soft_label_divergence(logits, logits, 2.0).abs() < 1e-6


def test_labels_weigh_as_much_as_they_are_sure():
    logits = torch.tensor([[0.0, 2.0, 1.0], [5.0, 0.0, 0.0]]).T[None, :, None]
    labels, weight = confident_labels(logits, 0.9)
    assert labels.flatten().tolist() == [1, 0]
    sure = math.exp(5) / (math.exp(5) + 2)
    torch.testing.assert_close(weight.flatten(), torch.tensor([0.0, sure]))


def test_direction_has_no_scale():
    feat = torch.tensor([[3.0, 0.0], [0.0, 2.0]]).T[None, :, None]
    target = torch.tensor([[7.0, 0.0], [0.0, -1.0]]).T[None, :, None]
    assert feature_direction(feat, target) == 1.0  # of 0 and 2


def test_images_are_those_that_the_other_network_would_have_had():
    given, wanted = (
        MODELS.build(dict(tiny.preprocessor(), **settings))
        for settings in ({}, dict(OTHER, bgr_to_rgb=False))
    )
    raw = tiny.random_images(2)
    images, expected = (
        one(dict(inputs=list(raw), data_samples=None))['inputs']
        for one in (given, wanted)
    )
    actual = Renormalise(given, wanted)(images)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    assert Renormalise(given, given)(images) is images
    assert Renormalise(given, wanted, (16, 48))(images).shape[2:] == (16, 48)


def test_each_kind_by_hand(tmp_path):
    teacher = finished(tmp_path)
    weights = dict(hard=0.5, soft=2.0, features=3.0)
    model = build(student(teacher, weights=weights, threshold=0.8))
    model.decode_head.dropout = None
    losses = losses_of(model)
    images = batch_of(model)['inputs']['target']
    big = model.distillation.teacher.module
    seen = Renormalise(
        model.data_preprocessor.of('target'), big.data_preprocessor
    )(images)
    with torch.no_grad():
        pyramid = big.extract_feat(seen)
        feat = big.decode_head._forward_feature(pyramid)
        scores = big.decode_head(pyramid)
    output = model.forward_student(images)
    torch.testing.assert_close(
        losses['distill.loss_soft'],
        2 * soft_label_divergence(output.logits[0], scores, 1.0),
    )
    full = nn.functional.interpolate(scores, tiny.SIZE, mode='bilinear')
    weight, labels = full.softmax(1).max(1)
    own = nn.functional.interpolate(
        output.logits[0], tiny.SIZE, mode='bilinear'
    )
    pixels = nn.functional.cross_entropy(own, labels, reduction='none')
    hard = (pixels * weight * (weight >= 0.8)).mean()
    assert 0 < (weight >= 0.8).float().mean() < 1
    torch.testing.assert_close(losses['distill.loss_ce'], 0.5 * hard)
    projected = model.distillation.projection(output.feat)
    torch.testing.assert_close(
        losses['distill.loss_features'],
        3 * (1 - torch.cosine_similarity(projected, feat)).mean(),
    )
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for name, parameter in model.named_parameters():
        fixed = '.teacher.' in name
        assert (parameter.grad is None) == fixed, name


def test_beside_a_method_its_own_losses_stay(tmp_path):
    teacher = finished(tmp_path)
    both = build(student(teacher, 'CAGSegmentor', weights=dict(soft=1.0)))
    alone = build(tiny.cag())
    alone.load_state_dict(both.state_dict(), strict=False)
    losses, expected = losses_of(both), losses_of(alone)
    assert losses.keys() - expected.keys() == {'distill.loss_soft'}
    for key, value in expected.items():
        assert torch.equal(losses[key], value), key


def test_an_observed_step_in_half_precision_has_gradients(tmp_path):
    found = []
    for observers in ([], [lambda **maps: None]):
        model = build(student(finished(tmp_path), weights=dict(soft=1.0)))
        model.observers += observers
        kept = []
        model.decode_head.register_forward_hook(
            lambda *_, kept=kept: kept.append(
                torch.is_grad_enabled() or torch.is_autocast_cache_enabled()
            )
        )
        with torch.autocast('cpu', torch.bfloat16):
            losses = losses_of(model)
            # torch 2.1 would reuse copies of weights without gradients.
            assert kept == [False] * len(observers) + [True]
            assert torch.is_autocast_cache_enabled()
        model.parse_losses(losses)[0].backward()
        found.append([p.grad for p in model.decode_head.parameters()])
    for one, other in zip(*found, strict=True):
        assert one is not None and torch.equal(one, other)


def test_labels_of_a_source_come_beside(tmp_path):
    model = build(student(finished(tmp_path), weights=dict(soft=1.0)))
    model.domains = ('source', 'target')
    batch = batch_of(model)
    torch.manual_seed(2)
    losses = model(**batch, mode='loss')
    torch.manual_seed(2)
    output = model.forward_student(batch['inputs']['source'])
    labels = gt_labels(batch['data_samples']['source'])
    expected = model.supervised_loss(output, labels, 'source')
    assert torch.equal(losses['source.loss_ce'], expected['source.loss_ce'])
    assert 'distill.loss_soft' in losses


def run(root: Path, work_dir: Path, iters: int = 2) -> Config:
    """The target alone, without any label in training."""
    cfg = tiny.adversarial_run(root, work_dir, {})
    weights = dict(hard=1.0, soft=1.0, features=1.0)
    cfg.model = student(finished(root), weights=weights)
    cfg.train_cfg.update(max_iters=iters, val_interval=iters)
    dataset = cfg.train_dataloader.dataset
    dataset.domains.pop('source')
    dataset.labelled = []
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
    )
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    # To break its lines takes most of a test's time.
    return Config(cfg.to_dict(), format_python_code=False)


@pytest.mark.parametrize('classes', [1, 2])
def test_a_teacher_of_one_sigmoid_has_two_classes(tmp_path, classes):
    teacher = finished(tmp_path, classes=classes, out_channels=1)
    cfg = student(teacher, weights=dict(hard=1.0, soft=1.0))
    cfg.decode_head.num_classes = 2
    model = build(cfg)
    losses = losses_of(model)
    assert losses['distill.loss_soft'] > 0
    assert (
        model.distillation.teacher(torch.zeros(1, 3, *tiny.SIZE))
        .logits[0]
        .shape[1]
        == 2
    )


def test_a_run_goes_on_bit_by_bit(tmp_path):
    tiny.write_towns(tmp_path)
    Runner.from_cfg(run(tmp_path, tmp_path / 'whole')).train()
    cfg = run(tmp_path, tmp_path / 'again')
    cfg.load_from = str(tmp_path / 'whole/iter_1.pth')
    cfg.resume = True
    Runner.from_cfg(cfg).train()
    one, two = (
        torch.load(tmp_path / name / 'iter_2.pth', weights_only=False)
        for name in ('whole', 'again')
    )
    begun = torch.load(tmp_path / 'whole/iter_1.pth', weights_only=False)
    for key, value in one['state_dict'].items():
        assert torch.equal(value, two['state_dict'][key]), key
        fixed = '.teacher.' in key or 'num_batches' in key
        changed = not torch.equal(value, begun['state_dict'][key])
        assert changed != fixed or 'num_batches' in key, key


@pytest.mark.parametrize('channels', [16, 24])
@pytest.mark.parametrize('resume', [False, True])
def test_a_distilled_student_learns_from_another_teacher(
    tmp_path, channels, resume
):
    tiny.write_towns(tmp_path)
    cfg = run(tmp_path, tmp_path / 'second')
    old = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=old), tmp_path / 'first.pth')
    finished(tmp_path, channels, seed=5)
    cfg.default_hooks.check_checkpoint = dict(type='CheckCheckpointHook')
    cfg.load_from = str(tmp_path / 'first.pth')
    runner = Runner.from_cfg(cfg)
    runner._resume = resume
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.load_checkpoint(cfg.load_from)
    new = torch.load(tmp_path / 'big.pth')['state_dict']
    for name, value in runner.model.state_dict().items():
        teacher = name.removeprefix('distillation.teacher.module.')
        if teacher == name:
            if not name.startswith('distillation.'):
                assert torch.equal(value, old[name]), name
        elif not resume:
            assert torch.equal(value, new[teacher]), name
        elif channels == 16:  # as it was
            assert torch.equal(value, old[name]), name


@pytest.mark.long
def test_ranks_hold_the_same(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = run(tmp_path, tmp_path / 'two')
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    train_two(tmp_path, cfg)
    first, second = (
        torch.load(tmp_path / f'two/rank{rank}_2.pth') for rank in (0, 1)
    )
    for key, value in first['state_dict'].items():
        if 'running_' not in key or '.teacher.' in key:
            assert torch.equal(value, second['state_dict'][key]), key
    assert first['losses'] != second['losses']


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(weights=dict(firm=1.0)), "weights='firm', expected one of"),
        (dict(weights={}), "weights='none', expected one of"),
        (dict(weights=dict(soft=1.0), temperature=0), 'temperature=0, thresh'),
        (dict(weights=dict(hard=1.0), threshold=2), 'threshold=2, expected'),
    ],
)
def test_settings_that_cannot_be(settings, message, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        build(student(finished(tmp_path), **settings))
    assert '\n' not in str(caught.value)


def test_a_teacher_of_other_classes_is_refused(tmp_path):
    weights = dict(soft=1.0)
    with pytest.raises(UserError, match='has 5 classes, expected 19'):
        build(student(finished(tmp_path, classes=5), weights=weights))
    tiny.write_towns(tmp_path)
    cfg = run(tmp_path, tmp_path / 'run')
    rehearse(cfg, ['train'])
    big = Config.fromfile(tmp_path / 'big.py').to_dict()
    names = [f'class {k}' for k in range(19)]
    dataset = dict(type='CityscapesDataset', metainfo=dict(classes=names))
    big['test_dataloader'] = dict(dataset=dataset)
    write(big, tmp_path / 'big.py')
    with pytest.raises(UserError, match='class 0 where the data have road'):
        rehearse(cfg, ['train'])


def test_both_classifiers_of_a_head_are_distilled_by_their_sum(tmp_path):
    settings = dict(teacher=finished(tmp_path), weights=dict(soft=1.0))
    model = build(ConfigDict(tiny.clan(), distillation=settings))
    images = batch_of(model)['inputs']['target']
    output, target = model.forward_student(images), torch.randn(2, 19, 8, 16)
    taught = output._replace(logits=[target])
    losses = model.distillation.soft_losses(model, output, taught)
    expected = soft_label_divergence(sum(output.logits), target, 1.0)
    assert losses == {'distill.loss_soft': expected}


def test_the_student_is_not_its_own_teacher():
    with pytest.raises(UserError, match='without config and checkpoint'):
        build(student({}, weights=dict(soft=1.0)))


def test_an_average_of_the_student_has_no_size_of_its_own():
    teacher = dict(size=(32, 64))
    with pytest.raises(UserError, match='without config and'):
        build(student(teacher, weights=dict(soft=1.0)))
