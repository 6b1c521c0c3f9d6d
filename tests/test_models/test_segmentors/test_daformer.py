# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import convert_sync_batchnorm
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_cag.errors import UserError
from mmseg_cag.models.segmentors import dacs
from mmseg_cag.models.segmentors.daformer import FixedNetwork
from mmseg_cag.models.strong_augmentation import StrongDraws
from tests import release, tiny

THINGS = [6, 7, 11, 12, 13, 14, 15, 16, 17, 18]


def build(**changes) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build({**tiny.daformer(), **changes})
    model.init_weights()
    return model.train()


def losses_of(
    model: nn.Module,
    batch: dict,
    seed: int = 2,
    dtype: torch.dtype = torch.float32,
) -> dict:
    data = model.data_preprocessor(batch, True)
    data['inputs'] = {k: v.to(dtype) for k, v in data['inputs'].items()}
    torch.manual_seed(seed)
    return model(**data, mode='loss')


# Two whole steps of the release


@pytest.fixture
def case() -> dict:
    return release.read('daformer_step')


@pytest.fixture
def model(case) -> nn.Module:
    loss = dict(type='CrossEntropyLoss', avg_non_ignore=False)
    model = MODELS.build(
        ConfigDict(
            type='DAFormerSegmentor',
            data_preprocessor=dict(
                type='SegDataPreProcessor',
                mean=release.MEAN,
                std=release.STD,
                size=(96, 96),
            ),
            backbone=dict(type='SmallMiT'),
            decode_head=release.small_head(loss_decode=loss),
            threshold=0.5,
            untrusted_top=3,
            untrusted_bottom=24,
            teacher=dict(type='Teacher', momentum=0.001),
            feature_distance=dict(type='FeatureDistance', things=THINGS),
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
        )
    )
    state = release.renamed(release.group(case, 'student'))
    start = release.renamed(release.group(case, 'imagenet'))
    buffers = release.group(case, 'teacher_buffer')
    state |= {
        key.replace('backbone.', 'start.network.'): value
        for key, value in start.items()
    }
    state |= {f'teacher.module.{key}': v for key, v in buffers.items()}
    model.load_state_dict(state, strict=False)
    assert model.teacher.steps == 0
    return model.train()


def batch_of(step: dict) -> dict:
    samples = {'source': [], 'target': []}
    for labels in step['source_label'].long():
        sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
        samples['source'].append(sample)
        samples['target'].append(SegDataSample())
    return dict(
        inputs={d: [*step[f'{d}_image']] for d in samples},
        data_samples=samples,
    )


def draw_as(step: dict, monkeypatch) -> None:
    """Let the draws of a step be those of the release."""

    def all_of(kind: str) -> list:
        found = release.group(step, f'draw/{kind}')
        return [found[key] for key in sorted(found)]

    classes = step['source_label'].unique()
    preference = torch.ones(2, 256)
    for image, choice in enumerate(all_of('class_choice')):
        preference[image, classes[choice].long()] = 0
    jitter, blur = all_of('python_uniform')
    flags = jitter.item() > 0.2, blur.item() > 0.5
    names = ('brightness', 'contrast', 'saturation', 'hue')
    factors = zip(*(all_of(f'{n}_factor') for n in names), strict=True)
    calls = [
        StrongDraws(*flags, *four, order.tolist(), sigma.item())
        for four, order, sigma in zip(
            factors, all_of('order'), all_of('sigma'), strict=True
        )
    ]
    nothing = StrongDraws(*flags, *[torch.ones(1)] * 4, [0, 1, 2, 3], 1.0)
    calls = iter(calls or [nothing] * 2)
    monkeypatch.setattr(dacs, 'draw_classes', lambda *_: preference)
    monkeypatch.setattr(dacs, 'draw_flags', lambda *_: flags)
    monkeypatch.setattr(dacs, 'draw_strong', lambda *_: next(calls))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_two_steps_are_those_of_the_release(case, model, monkeypatch, dtype):
    """In single precision rounding may turn a ReLU off, so losses alone."""
    model.to(dtype)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.02)
    exact = dtype == torch.float64
    for number in range(2):
        step = release.group(case, f'step{number}')
        draw_as(step, monkeypatch)
        losses = losses_of(model, batch_of(step), dtype=dtype)
        optimizer.zero_grad()
        model.parse_losses(losses)[0].backward()
        names = step['log_names'].tolist()
        expected = dict(zip(names, step['log_values'].tolist(), strict=True))
        for ours, theirs in (
            ('source.loss_ce', 'decode.loss_seg'),
            ('source.loss_feature_distance', 'src.loss_imnet_feat_dist'),
            ('mix.loss_ce', 'mix.decode.loss_seg'),
        ):
            value = pytest.approx(expected[theirs], rel=2e-5)
            assert losses[ours].item() == value, ours
        if number == 0 and exact:
            grads = release.renamed(release.group(step, 'grad'))
            for key, value in grads.items():
                own = model.get_parameter(key).grad
                release.assert_close(own, value, 1e-5)
        optimizer.step()
    if not exact:
        return
    student, teacher = model.state_dict(), model.teacher.module.state_dict()
    for name, state in (('student', student), ('teacher', teacher)):
        after = release.renamed(release.group(case, f'after/{name}'))
        for key, value in after.items():
            release.assert_close(state[key], value, 6e-6)


# The network of the start


def test_the_start_is_the_backbone_as_it_was_initialised():
    model = build()
    start = model.start.network.state_dict()
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(start[key], value), key
    assert not [*model.start.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for seed in range(2):
        total, _ = model.parse_losses(losses_of(model, tiny.raw_batch(), seed))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert not any(part.training for part in model.start.modules())
    for key, value in model.start.network.state_dict().items():
        assert torch.equal(start[key], value), key
    assert not model.teacher.module.state_dict().keys() & {
        f'start.network.{key}' for key in start
    }


def test_a_stock_checkpoint_leaves_the_start_as_it_is():
    model, stock = build(), MODELS.build(tiny.segmentor())
    start = copy.deepcopy(model.start.state_dict())
    model.load_state_dict(stock.state_dict())
    for key, value in model.start.state_dict().items():
        assert torch.equal(start[key], value), key
    weight = stock.backbone.layers[0].conv.weight
    assert torch.equal(model.backbone.layers[0].conv.weight, weight)


def test_without_the_distance_it_is_dacs():
    torch.manual_seed(0)
    plain = MODELS.build(tiny.dacs())
    plain.init_weights()
    model = build(feature_distance=None)
    model.load_state_dict(plain.state_dict())
    torch.manual_seed(4)
    batch = tiny.raw_batch()
    expected = losses_of(plain.train(), copy.deepcopy(batch))
    actual = losses_of(model, batch)
    assert expected.keys() == actual.keys()
    assert all(torch.equal(actual[key], expected[key]) for key in actual)


@pytest.mark.parametrize('known', [None, False, True])
def test_without_things_the_start_is_not_run(known):
    model, ran = build(), []
    model.start.register_forward_hook(lambda *_: ran.append(1))
    batch = tiny.raw_batch()
    for sample in batch['data_samples']['source']:
        sample.gt_sem_seg.data[:] = 1
        if known is not None:
            sample.set_metainfo(dict(has_things=known))
    losses = losses_of(model, batch)
    assert bool(ran) == (known is not False)
    assert losses['source.loss_feature_distance'] == 0


@pytest.mark.parametrize('inside', [False, True])
def test_a_network_with_a_neck_is_refused(inside):
    cfg = tiny.daformer(neck=True)
    if inside:
        neck = cfg.pop('neck')
        cfg = tiny.two_scales(cfg)
        cfg.backbone.neck = neck
    with pytest.raises(UserError, match='feature_distance: set with a neck'):
        MODELS.build(cfg)


def run(cfg: Config) -> dict[str, Tensor]:
    runner = Runner.from_cfg(cfg)
    runner.train()
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


@pytest.mark.parametrize('workers', [0, 2])
def test_a_resumed_run_has_the_same_weights(tmp_path, monkeypatch, workers):
    monkeypatch.chdir(tmp_path)
    tiny.write_towns(tmp_path)

    def config(name: str) -> Config:
        model = tiny.daformer()
        cfg = tiny.adversarial_run(tmp_path, tmp_path / name, model)
        loader = cfg.train_dataloader
        loader.num_workers = workers
        loader.sampler.orders = dict(source=dict(type='RareClassOrder'))
        source = loader.dataset.domains.source
        load, labels, *crop, _ = source.pipeline
        source.pipeline = [
            load,
            labels,
            dict(type='RedrawCrop', transforms=crop),
            dict(type='FindThings', things=[13]),
            dict(type='PackMarkedSegInputs'),
        ]
        cfg.optim_wrapper = dict(
            type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
        )
        return cfg

    expected = run(config('whole'))
    assert any(key.startswith('start.') for key in expected)
    for at in [1, 3, 5] if workers == 0 else [4]:
        again = config(f'again_{at}')
        file = tmp_path / 'whole' / f'iter_{at}.pth'
        again.update(resume=True, load_from=str(file))
        actual = run(again)
        for key, value in expected.items():
            assert torch.equal(actual[key], value), (at, key)


def test_a_fixed_network_lists_its_weights_in_their_order():
    """Files without their names are read by it."""
    network = MODELS.build(tiny.segmentor())
    fixed = FixedNetwork(network)
    assert not list(fixed.parameters())
    assert list(fixed.network.state_dict()) == list(network.state_dict())


def test_the_fixed_copy_has_no_batch_norms_to_synchronise():
    model = build()
    names = [*model.state_dict()]
    images = torch.rand(2, 3, *tiny.SIZE)
    expected = model.start_features(images)
    model = convert_sync_batchnorm(model).train()
    assert [*model.state_dict()] == names
    found = {
        name: type(part)
        for name, part in model.named_modules()
        if isinstance(part, _BatchNorm)
    }
    start = {name for name in found if name.startswith('start.')}
    assert start
    for name, kind in found.items():
        assert (kind is nn.SyncBatchNorm) == (name not in start), name
    assert torch.equal(model.start_features(images), expected)
    model.double()  # it moves with the rest
    assert model.start_features(images.double()).dtype == torch.float64
