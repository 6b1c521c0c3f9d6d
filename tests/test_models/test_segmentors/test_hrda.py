# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""HRDA's network in each method of the family, and in stock mmseg."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from mmseg_cag.errors import UserError
from mmseg_cag.models.backbones import hrda_backbone
from mmseg_cag.models.segmentors.base import SegOutput
from mmseg_cag.models.two_scales import Box, draw_box
from tests import tiny

HEIGHT, WIDTH = tiny.SIZE


def mic(**kwargs) -> ConfigDict:
    masking = dict(type='Masking', block=8)
    return ConfigDict(
        tiny.dacs(**kwargs), type='MICSegmentor', masking=masking
    )


def build(model: ConfigDict | None = None, **head) -> nn.Module:
    torch.manual_seed(0)
    built = MODELS.build(tiny.two_scales(model or tiny.dacs(), **head))
    built.init_weights()
    return built.train()


def images(*size: int) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 3, *(size or tiny.SIZE))


def up(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(maps, size, mode='bilinear')


def test_a_pass_in_training_by_the_equations(monkeypatch):
    model = build(tiny.dacs(dropout=0.0))
    box = Box(8, 24, 16, 48)
    monkeypatch.setattr(hrda_backbone, 'draw_box', lambda *_: box)
    twin, x = copy.deepcopy(model), images()
    output = model.forward_student(x)

    net, head = twin.backbone.net, twin.decode_head.head
    low = net(up(x, (HEIGHT // 2, WIDTH // 2)))
    high = net(x[..., 8:24, 16:48])
    context, detail = head(low), head(high)
    share = twin.decode_head.scale_attention(low).sigmoid()
    inside = torch.zeros(1, 1, *context.shape[-2:])
    inside[..., 1:3, 2:6] = 1
    share = share * inside
    size = (HEIGHT // 4, WIDTH // 4)
    canvas = torch.zeros(2, 19, *size)
    canvas[..., 2:6, 4:12] = detail
    fused = up(share, size) * canvas + up((1 - share) * context, size)
    torch.testing.assert_close(output.logits[0], fused)
    torch.testing.assert_close(model.main_logits(output), fused)

    labels = torch.randint(0, 19, (2, HEIGHT, WIDTH))
    weight = torch.rand(2, HEIGHT, WIDTH)
    losses = model.supervised_loss(output, labels, 'mix', weight)

    def expected(scores: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        scores = up(scores, labels.shape[-2:])
        pixels = cross_entropy(scores, labels, reduction='none')
        return (pixels * weight).mean()

    cut = labels[:, 8:24, 16:48], weight[:, 8:24, 16:48]
    torch.testing.assert_close(
        losses['mix.loss_ce'], 0.9 * expected(fused, labels, weight)
    )
    torch.testing.assert_close(
        losses['mix.detail.loss_ce'], 0.1 * expected(detail, *cut)
    )


def test_evaluation_slides_over_the_image():
    model = build().eval()
    x, net, head = images(), model.backbone.net, model.decode_head
    scores = model.main_logits(model.forward_student(x))
    low = net(up(x, (HEIGHT // 2, WIDTH // 2)))
    context = head.head(low)
    share = head.scale_attention(low).sigmoid()
    size = (HEIGHT // 4, WIDTH // 4)
    total, count = torch.zeros(2, 19, *size), torch.zeros(size)
    for top in (0, 8, 16):
        for left in (0, 16, 32):
            part = head.head(net(x[..., top : top + 16, left : left + 32]))
            rows = slice(top // 4, top // 4 + 4)
            columns = slice(left // 4, left // 4 + 8)
            total[..., rows, columns] += part
            count[rows, columns] += 1
    detail = total / count
    expected = up(share, size) * detail + up((1 - share) * context, size)
    torch.testing.assert_close(scores, expected)


def test_the_teacher_slides_and_draws_nothing():
    model = build()
    model.teacher.update_parameters(model)
    x = images()
    state = torch.get_rng_state()
    output = model.teacher(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert output.fused is None and isinstance(output, SegOutput)
    assert len(output.pyramid.boxes) == 9
    # Its batch norms have seen all windows at once.
    norm = model.teacher.module.backbone.net.layers[0].bn
    assert norm.training and norm.num_batches_tracked == 2


def test_every_pass_draws_its_own_window():
    model, seen = build(dict(mic(), threshold=0.055)), []
    model.backbone.register_forward_hook(
        lambda *given: seen.append(given[2].boxes)
    )
    losses = losses_of(model)
    assert [len(boxes) for boxes in seen] == [1, 1, 1]
    for name in ('source', 'mix', 'masked'):
        assert losses[f'{name}.loss_ce'] > 0
        assert losses[f'{name}.detail.loss_ce'] > 0


def losses_of(model: nn.Module, seed: int = 2) -> dict[str, Tensor]:
    torch.manual_seed(1)
    data = model.data_preprocessor(tiny.raw_batch(), True)
    torch.manual_seed(seed)
    return model(**data, mode='loss')


def test_observers_change_nothing():
    plain, seen = build(mic()), []
    watched = copy.deepcopy(plain)
    watched.observers.append(lambda **maps: seen.append(maps))
    first, second = losses_of(plain), losses_of(watched)
    assert seen and all(torch.equal(first[key], second[key]) for key in first)
    for key, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[key]), key


def test_weights_have_the_names_of_the_backbone():
    one, two = MODELS.build(tiny.segmentor()), build(tiny.segmentor())
    names = [key for key in one.state_dict() if key.startswith('backbone')]
    assert names == [k for k in two.state_dict() if k.startswith('backbone')]
    two.load_state_dict(two.state_dict())
    state = two.state_dict()
    state[names[0]] = torch.full_like(state[names[0]], 7)
    two.load_state_dict(state)
    assert two.backbone.net.state_dict()[names[0][9:]].eq(7).all()


def test_a_network_of_one_scale_to_begin_with():
    torch.manual_seed(3)
    one, two = MODELS.build(tiny.segmentor()), build(tiny.dacs())
    attention = copy.deepcopy(two.decode_head.scale_attention.state_dict())
    two.load_state_dict(one.state_dict())
    for own in (two, two.teacher.module):
        head = own.decode_head.head.state_dict()
        for key, value in one.decode_head.state_dict().items():
            assert torch.equal(head[key], value), key
        for key, value in attention.items():
            got = own.decode_head.scale_attention.state_dict()[key]
            assert torch.equal(got, value), key


def test_a_neck_between_them():
    config = tiny.two_scales(tiny.dacs(neck=True))
    config.backbone.neck = config.pop('neck')
    torch.manual_seed(0)
    model = MODELS.build(config)
    assert losses_of(model)['source.loss_ce'] > 0
    keys = model.state_dict().keys()
    assert 'backbone.neck.lateral_convs.0.conv.weight' in keys
    model.load_state_dict(model.state_dict())


@pytest.mark.parametrize('size', [(30, 50), (8, 8), (33, 64)])
def test_images_of_any_size_are_predicted(size):
    model = build().eval()
    scores = model.main_logits(model.forward_student(images(*size)))
    assert scores.shape == (2, 19, -(-size[0] // 4), -(-size[1] // 4))
    meta = dict(ori_shape=size, img_shape=size, padding_size=[0] * 4)
    samples = [SegDataSample(metainfo=meta) for _ in range(2)]
    results = model.predict(images(*size), samples)
    assert results[0].pred_sem_seg.shape == size


def test_windows_slide_over_the_frame_as_well():
    config = tiny.two_scales(tiny.dacs())
    config.test_cfg = dict(mode='slide', crop_size=tiny.SIZE, stride=(16, 32))
    torch.manual_seed(0)
    model = MODELS.build(config).eval()
    size = (HEIGHT, 2 * WIDTH)
    x = images(*size)
    meta = dict(ori_shape=size, img_shape=size, padding_size=[0] * 4)
    samples = [SegDataSample(metainfo=meta) for _ in range(2)]
    actual = torch.stack(
        [r.seg_logits.data for r in model.predict(x, samples)]
    )
    total, count = torch.zeros(2, 19, *size), torch.zeros(size)
    for left in (0, 32, 64):
        part = x[..., left : left + WIDTH]
        scores = model.main_logits(model.forward_student(part))
        total[..., left : left + WIDTH] += up(scores, tiny.SIZE)
        count[:, left : left + WIDTH] += 1
    torch.testing.assert_close(actual, total / count)


@pytest.mark.parametrize('settings', [{}, dict(attention_classwise=False)])
def test_a_step_reaches_every_part(settings):
    model = build(mic(), **settings)
    losses = losses_of(model)
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for name, parameter in model.named_parameters():
        if not name.startswith('teacher'):
            assert parameter.grad is not None, name


def test_a_fixed_attention_has_no_weights():
    model = build(fixed_attention=0.5)
    assert not any('attention' in key for key in model.state_dict())
    assert losses_of(model)['source.loss_ce'] > 0


def test_bfloat16():
    model = build(mic())
    with torch.autocast('cpu', torch.bfloat16):
        losses = losses_of(model)
    full = losses_of(build(mic()))
    for key in ('source.loss_ce', 'source.detail.loss_ce'):
        torch.testing.assert_close(
            losses[key].float(), full[key], rtol=0.05, atol=0.01
        )


def test_a_compiled_backbone():
    plain = build(mic())
    compiled = copy.deepcopy(plain)
    for owner in (compiled, compiled.teacher.module):
        # A CPU needs a compiler for the fastest form.
        owner.backbone.compile(backend='aot_eager')
    expected, losses = losses_of(plain), losses_of(compiled)
    for key, value in expected.items():
        torch.testing.assert_close(losses[key], value)


def test_a_stock_segmentor_is_trained_by_it():
    model = build(tiny.segmentor())
    torch.manual_seed(1)
    batch = tiny.raw_batch()
    data = dict(
        inputs=batch['inputs']['source'],
        data_samples=batch['data_samples']['source'],
    )
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    assert {'decode.loss_ce', 'decode.detail.loss_ce'} <= losses.keys()


@pytest.mark.parametrize(
    ('size', 'settings', 'message'),
    [
        ((36, 64), {}, 'the crop of training images is 36 x 64, expected'),
        (tiny.SIZE, dict(detail_size=(12, 32)), 'detail_size is 12 x 32'),
        (tiny.SIZE, dict(detail_size=(40, 32)), 'have 32 x 64 pixels'),
    ],
)
def test_sizes_that_do_not_divide(size, settings, message):
    config = tiny.two_scales(tiny.dacs())
    config.backbone.update(settings)
    model = MODELS.build(config).train()
    with pytest.raises(UserError, match=message):
        model.forward_student(images(*size))
    with pytest.raises(UserError, match=message):
        hrda_backbone.HRDABackbone.require_crop(config.backbone, size)


def test_the_window_follows_the_seed():
    boxes = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        boxes.append([draw_box((512, 512), (256, 256), 8) for _ in range(3)])
    assert boxes[0] == boxes[1] != boxes[2]


def run(cfg: Config) -> dict[str, Tensor]:
    runner = Runner.from_cfg(cfg)
    runner.train()
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


@pytest.mark.parametrize('workers', [0, 2])
def test_a_resumed_run_has_the_same_weights(tmp_path, workers):
    tiny.write_towns(tmp_path)

    def config(name: str) -> Config:
        model = tiny.two_scales(mic())
        cfg = tiny.adversarial_run(tmp_path, tmp_path / name, model)
        cfg.train_dataloader.num_workers = workers
        cfg.optim_wrapper = dict(
            type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
        )
        return cfg

    expected = run(config('whole'))
    again = config('again')
    again.update(resume=True, load_from=str(tmp_path / 'whole' / 'iter_2.pth'))
    actual = run(again)
    for key, value in expected.items():
        assert torch.equal(actual[key], value), key
