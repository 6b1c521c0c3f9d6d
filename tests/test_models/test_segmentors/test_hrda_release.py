# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""HRDA and MIC against values of the release, two whole steps of MIC last."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from checkpoint_formats import daformer_head, mit, scale_attention
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_cag.models import masking
from mmseg_cag.models.backbones import hrda_backbone
from mmseg_cag.models.segmentors import dacs
from mmseg_cag.models.strong_augmentation import StrongDraws
from mmseg_cag.models.two_scales import place_box
from tests import release

SIZE, DETAIL = (128, 128), (64, 64)
THINGS = [6, 7, 11, 12, 13, 14, 15, 16, 17, 18]
PARTS = mit((1, 1, 1, 1)) + daformer_head('decode_head.head')
PARTS += scale_attention()


def network(num_classes: int, **settings) -> ConfigDict:
    """Config of the small network of the reference values."""
    head = release.small_head(
        num_classes,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=False),
    )
    return ConfigDict(
        {
            'type': 'EncoderDecoder',
            'data_preprocessor': dict(
                type='SegDataPreProcessor',
                mean=release.MEAN,
                std=release.STD,
                size=SIZE,
            ),
            'backbone': dict(
                type='HRDABackbone',
                backbone=dict(type='SmallMiT'),
                detail_size=DETAIL,
            ),
            'decode_head': dict(
                head,
                type='HRDAHead',
                head='DAFormerHead',
                attention_channels=12,
            ),
            'train_cfg': dict(),
            'test_cfg': dict(mode='slide', crop_size=SIZE, stride=DETAIL),
            **settings,
        }
    )


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    parts = [
        part
        for part in PARTS
        if any(f'{part.source}.{tensor}' in state for tensor in part.tensors)
    ]
    return release.renamed(state, parts)


@pytest.fixture
def case() -> dict:
    return release.read('hrda_network')


@pytest.fixture
def model(case) -> nn.Module:
    built = MODELS.build(network(6))
    built.load_state_dict(renamed(release.group(case, 'state')))
    return built.eval()


@torch.no_grad()
def test_a_network_in_evaluation(case, model):
    scales = model.backbone(case['image'])
    assert [(*b,) for b in scales.boxes] == [
        tuple(row) for row in case['boxes'].tolist()
    ]
    for i in range(4):
        release.assert_close(scales[i], case[f'lr_feature_{i}'], 1e-5)
    head = model.decode_head
    release.assert_close(head.head(scales), case['lr_logits'], 1e-5)
    attention = head.scale_attention(scales).sigmoid()
    release.assert_close(attention, case['attention'], 1e-5)
    fused = head(scales)
    release.assert_close(fused, case['fused'], 1e-5)
    meta = [dict(img_shape=SIZE)] * 2
    logits = model.encode_decode(case['image'], meta)
    release.assert_close(logits, case['logits'], 1e-5)


@torch.no_grad()
def test_windows_over_a_wide_frame(case, model):
    size = tuple(case['wide_image'].shape[-2:])
    meta = dict(img_shape=size, ori_shape=size, padding_size=[0] * 4)
    [result] = model.predict(
        case['wide_image'], [SegDataSample(metainfo=meta)]
    )
    logits = result.seg_logits.data[None, :, ::4, ::4]
    release.assert_close(logits, case['wide_logits'], 1e-5)
    labels = result.pred_sem_seg.data
    assert torch.equal(labels.int(), case['wide_label'].int())


def test_a_pass_in_training(case, model, monkeypatch):
    drawn = case['train_draw'][:, 0].tolist()
    monkeypatch.setattr(
        hrda_backbone, 'draw_box', lambda _, crop, d: place_box(drawn, crop, d)
    )
    scales = model.train().backbone(case['image'])
    release.assert_close(scales[3], case['train_feature_last'], 1e-5)
    losses = model.decode_head.pixel_losses(
        model.decode_head(scales), case['train_label'][:, 0]
    )
    release.assert_close(losses['loss_ce'], case['train_loss_fused'], 1e-5)
    detail = losses['detail.loss_ce']
    release.assert_close(detail, case['train_loss_hr'], 1e-5)


# Two whole steps of MIC on HRDA


@pytest.fixture
def steps() -> dict:
    return release.read('mic_hrda_step')


@pytest.fixture
def method(steps) -> nn.Module:
    built = MODELS.build(
        network(
            19,
            type='MICSegmentor',
            threshold=0.5,
            teacher=dict(type='Teacher', momentum=0.001),
            feature_distance=dict(type='FeatureDistance', things=THINGS),
            masking=dict(type='Masking', block=16, ratio=0.7),
        )
    )
    state = renamed(release.group(steps, 'student'))
    start = renamed(release.group(steps, 'imagenet'))
    state |= {
        key.replace('backbone.', 'start.network.'): value
        for key, value in start.items()
    }
    buffers = release.group(steps, 'teacher_buffer')
    state |= {f'teacher.module.{key}': v for key, v in buffers.items()}
    built.load_state_dict(state, strict=False)
    return built.train()


def batch_of(step: dict) -> dict:
    samples = {'source': [], 'target': []}
    for labels, valid in zip(
        step['source_label'].long(), step['valid_mask'], strict=True
    ):
        source = SegDataSample(gt_sem_seg=PixelData(data=labels))
        target = SegDataSample(trusted=PixelData(data=valid))
        samples['source'].append(source)
        samples['target'].append(target)
    return dict(
        inputs={d: [*step[f'{d}_image']] for d in samples},
        data_samples=samples,
    )


def draw_as(step: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the draws of a step be those of the release."""

    def all_of(kind: str) -> list:
        found = release.group(step, f'draw/{kind}')
        return [found[key] for key in sorted(found)]

    def in_turn(values: list) -> Callable:
        left = iter(values)
        return lambda *_: next(left)

    classes = step['source_label'].unique()
    preference = torch.ones(2, 256)
    for image, choice in enumerate(all_of('class_choice')):
        preference[image, classes[choice].long()] = 0
    uniform = [number.item() for number in all_of('python_uniform')]
    flags = [(a > 0.2, b > 0.5) for a, b in (uniform[:2], uniform[2:])]
    names = ('brightness', 'contrast', 'saturation', 'hue')
    factors = list(zip(*(all_of(f'{n}_factor') for n in names), strict=True))
    if not factors:  # neither jitter nor blur
        factors = [[torch.ones(1)] * 4] * 3
    calls = [
        StrongDraws(*own, *four, order.tolist(), sigma.item())
        for own, four, order, sigma in zip(
            (flags[0], flags[0], flags[1]),
            factors,
            all_of('order') or [torch.arange(4)] * 3,
            all_of('sigma') or [torch.ones(())] * 3,
            strict=True,
        )
    ]
    boxes = [drawn[0].item() for drawn in all_of('randint')]
    boxes = [place_box(boxes[i : i + 2], DETAIL, 8) for i in (0, 2, 4)]
    strong = in_turn(calls)
    for place in (dacs, masking):
        monkeypatch.setattr(place, 'draw_strong', strong)
    monkeypatch.setattr(dacs, 'draw_classes', lambda *_: preference)
    monkeypatch.setattr(dacs, 'draw_flags', lambda *_: flags[0])
    monkeypatch.setattr(masking, 'draw_flags', lambda *_: flags[1])
    mask = step['mask_uniform'][0]
    monkeypatch.setattr(masking, 'draw_mask', lambda *_: mask)
    monkeypatch.setattr(hrda_backbone, 'draw_box', in_turn(boxes))


NAMES = {
    'source.loss_ce': 'decode.loss_seg',
    'source.detail.loss_ce': 'decode.hr.loss_seg',
    'source.loss_feature_distance': 'src.loss_imnet_feat_dist',
    'mix.loss_ce': 'mix.decode.loss_seg',
    'mix.detail.loss_ce': 'mix.decode.hr.loss_seg',
    'masked.loss_ce': 'masked.decode.loss_seg',
    'masked.detail.loss_ce': 'masked.decode.hr.loss_seg',
}


# What the release's rounding has decided in each step: how many pixels are
# confident, and the class of a pixel whose two best ones are that close.
CONFIDENT = (13224, 13355)
TIES = (None, (0, 71, 97, 15))


def rounded(label: Callable, number: int) -> Callable:
    """Make the labels of a step rounded as the release did."""

    def as_released(logits: Tensor, samples: list) -> tuple:
        labels, weight = label(logits, samples)
        pixels = weight.numel()
        share = CONFIDENT[number] / pixels
        assert abs(weight.max() - share) < 1.5 / pixels
        if TIES[number]:
            n, y, x, chosen = TIES[number]
            best = logits[n, :, y, x].topk(2)
            assert best.values.diff().abs() < 1e-5
            assert chosen in best.indices
            labels[n, y, x] = chosen
        return labels, weight * (share / weight.max())

    return as_released


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_two_steps_are_those_of_the_release(steps, method, monkeypatch, dtype):
    """Gradients in double precision: in single, rounding may close a ReLU."""
    method.to(dtype)
    exact = dtype == torch.float64
    trained = [p for p in method.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.02)
    label = method.online_labels
    for number in range(2):
        step = release.group(steps, f'step{number}')
        draw_as(step, monkeypatch)
        data = method.data_preprocessor(batch_of(step), True)
        data['inputs'] = {k: v.to(dtype) for k, v in data['inputs'].items()}
        method.online_labels = rounded(label, number)
        losses = method(**data, mode='loss')
        names = step['log_names'].tolist()
        expected = dict(zip(names, step['log_values'].tolist(), strict=True))
        for ours, theirs in NAMES.items():
            value = pytest.approx(expected[theirs], rel=5e-6)
            assert losses[ours].item() == value, (number, ours)
        optimizer.zero_grad()
        method.parse_losses(losses)[0].backward()
        if number == 0 and exact:
            for key, value in renamed(release.group(step, 'grad')).items():
                own = method.get_parameter(trained_name(key)).grad
                if value.abs().max() > 1e-7:  # else it is rounding alone
                    release.assert_close(own, value, 1e-5)
        optimizer.step()
    if not exact:
        return
    student, teacher = method.state_dict(), method.teacher.module.state_dict()
    for name, state in (('student', student), ('teacher', teacher)):
        after = renamed(release.group(steps, f'after/{name}'))
        for key, value in after.items():
            release.assert_close(state[key], value, 6e-6)


def trained_name(key: str) -> str:
    """Name of a parameter, which a checkpoint shortens."""
    return key.replace('backbone.', 'backbone.net.', 1)
