# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from mmseg_cag.errors import UserError
from mmseg_cag.models.mixing import paste
from tests import tiny


def build(**changes) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build({**tiny.dacs(), **changes})
    model.init_weights()
    return model.train()


def batch() -> dict:
    torch.manual_seed(1)
    return tiny.raw_batch()


def losses_of(model: nn.Module, seed: int = 2) -> dict[str, Tensor]:
    data = model.data_preprocessor(batch(), True)
    torch.manual_seed(seed)
    return model(**data, mode='loss')


def at_labels(logits: Tensor) -> Tensor:
    return interpolate(logits, tiny.SIZE, mode='bilinear')


def test_the_losses_by_the_steps_of_the_paper():
    """Step by step, as one would write it down, without jitter and blur."""
    model = build(threshold=0.055)
    model.mix = lambda source, target, generator: paste(source, target, MASK)
    MASK = torch.rand(2, *tiny.SIZE) > 0.5
    student = copy.deepcopy(model)
    losses = losses_of(model)

    data = student.data_preprocessor(batch(), True)
    inputs = data['inputs']
    truth = torch.cat(
        [s.gt_sem_seg.data for s in data['data_samples']['source']]
    )
    torch.manual_seed(2)
    torch.randint(2**62, ())  # the seed of the explicit draws
    scores = at_labels(student.forward_student(inputs['source']).logits[0])
    source = cross_entropy(scores, truth, ignore_index=255)
    teacher = copy.deepcopy(student).train()
    for module in teacher.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    with torch.no_grad():
        logits = teacher.forward_student(inputs['target']).logits[0]
    confidence, label = at_labels(logits).softmax(1).max(1)
    share = (confidence >= 0.055).float().mean()
    images = torch.where(MASK[:, None], inputs['source'], inputs['target'])
    labels = torch.where(MASK, truth, label)
    scores = at_labels(student.forward_student(images).logits[0])
    pixels = cross_entropy(
        scores, labels, ignore_index=255, reduction='none'
    ) * torch.where(MASK, 1.0, share)
    torch.testing.assert_close(losses['source.loss_ce'], source)
    mixed = pixels.sum() / (labels != 255).sum()
    torch.testing.assert_close(losses['mix.loss_ce'], mixed)
    torch.testing.assert_close(losses['mix.confident'], share)
    assert 0 < share < 1


def test_the_student_never_sees_a_target_image_as_it_is():
    model, seen = build(), []
    model.backbone.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    losses_of(model)
    target = model.data_preprocessor(batch(), True)['inputs']['target']
    assert len(seen) == 2
    assert not any(torch.equal(images, target) for images in seen)


def test_observers_change_nothing_and_see_what_is_confident():
    plain, seen = build(threshold=0.055), {}
    watched = copy.deepcopy(plain)
    watched.observers.append(lambda **maps: seen.update(maps))
    first, second = losses_of(plain), losses_of(watched)
    assert all(torch.equal(first[key], second[key]) for key in first)
    for key, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[key]), key
    assert {'images', 'student', 'teacher', 'probability'} == seen.keys()
    assert seen['probability'].shape == seen['student'].argmax(1).shape
    confident = (seen['probability'] != 255).float().mean()
    assert 0 < confident < 1


def test_the_draws_are_those_of_the_seed():
    one, two, other = (losses_of(build(), seed) for seed in (2, 2, 3))
    assert torch.equal(one['mix.loss_ce'], two['mix.loss_ce'])
    assert not torch.equal(one['mix.loss_ce'], other['mix.loss_ce'])


def test_the_teacher_is_an_average():
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    weight = model.backbone.layers[0].conv.weight
    history = []
    for step in range(3):
        history.append(weight.detach().clone())
        losses = losses_of(model, step)
        optimizer.zero_grad()
        sum(v for k, v in losses.items() if 'loss' in k).backward()
        optimizer.step()
    teacher = model.teacher.module.backbone.layers[0].conv.weight
    torch.testing.assert_close(teacher, torch.stack(history).mean(0))
    norm = model.teacher.module.decode_head.convs[0].bn
    assert norm.num_batches_tracked == 3


def test_rows_that_are_not_trusted_have_no_weight():
    model = build(threshold=0.0, untrusted_top=3, untrusted_bottom=5)
    images = torch.randn(2, 3, *tiny.SIZE)
    weight = model.label_target(images, []).weight
    height = tiny.SIZE[0]
    assert weight[:, 3 : height - 5].eq(1).all()
    assert not weight[:, :3].any() and not weight[:, height - 5 :].any()


def marked(value: int = 0) -> list[SegDataSample]:
    """Samples of which the upper rows are not trusted."""
    mask = torch.ones(1, *tiny.SIZE, dtype=torch.uint8)
    mask[:, :7] = value
    return [SegDataSample(trusted=PixelData(data=mask)) for _ in range(2)]


@pytest.mark.parametrize('value', [0, 255])
def test_pixels_that_are_marked_have_no_weight(value):
    model = build(threshold=0.0)
    images = torch.randn(2, 3, *tiny.SIZE)
    weight = model.label_target(images, marked(value)).weight
    assert weight[:, 7:].eq(1).all() and not weight[:, :7].any()


def test_marks_of_one_domain_are_not_those_of_another():
    model = build(threshold=0.0)
    images = torch.randn(2, 3, *tiny.SIZE)
    samples = [SegDataSample(), marked()[0]]
    weight = model.label_target(images, samples).weight
    assert weight[0].eq(1).all()
    assert weight[1, 7:].eq(1).all() and not weight[1, :7].any()


@pytest.mark.parametrize('marks', [False, True])
def test_padding_has_no_weight_and_no_part_in_the_share(marks):
    model = build(threshold=0.055)
    images = torch.randn(2, 3, *tiny.SIZE)
    whole = model.label_target(images, []).weight
    samples = tiny.padded_samples()
    if marks:
        trusted = torch.ones(1, *tiny.SIZE, dtype=torch.uint8)
        samples[0].trusted = PixelData(data=trusted)
    weight = model.label_target(images, samples).weight
    with torch.no_grad():
        scores = at_labels(model.main_logits(model.teacher(images)))
    sure = scores.softmax(1).amax(1) >= 0.055
    share = torch.cat([sure[0, :-8].flatten(), sure[1].flatten()])
    share = share.float().mean().item()
    assert not weight[0, -8:].any()
    assert weight[0, :-8].unique().item() == pytest.approx(share)
    assert weight[1].unique().item() == pytest.approx(share)
    assert whole.unique().item() == pytest.approx(sure.float().mean().item())


def test_observers_are_told_of_padding():
    model, seen = build(), {}
    model.observers.append(lambda **maps: seen.update(maps))
    data = batch()
    data['inputs']['target'][0] = data['inputs']['target'][0][:, :-8]
    model(**model.data_preprocessor(data, True), mode='loss')
    assert seen['padding'][0, -8:].all() and seen['padding'].sum() == 8 * 64


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        (dict(threshold=1.5), r'threshold=1\.5, expected .* 0..1'),
        (dict(threshold=-0.1), r'threshold=-0\.1'),
        (dict(untrusted_top=-1), 'untrusted_top=-1'),
        (dict(untrusted_top=12, untrusted_bottom=20), 'than the 32 of'),
        (dict(untrusted_top=1), 'MarkUntrusted also marks'),
    ],
)
def test_bad_settings_are_one_line(settings, words):
    with pytest.raises(UserError, match=words) as caught:
        model = build(**settings)
        model.label_target(torch.randn(2, 3, *tiny.SIZE), marked())
    assert '\n' not in str(caught.value)


def run(cfg: Config) -> dict[str, Tensor]:
    runner = Runner.from_cfg(cfg)
    runner.train()
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


@pytest.mark.parametrize('workers', [0, 2])
def test_a_resumed_run_has_the_same_weights(tmp_path, workers):
    tiny.write_towns(tmp_path)

    def config(name: str) -> Config:
        cfg = tiny.adversarial_run(tmp_path, tmp_path / name, tiny.dacs())
        cfg.train_dataloader.num_workers = workers
        cfg.optim_wrapper = dict(
            type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
        )
        return cfg

    expected = run(config('whole'))
    again = config('again')
    again.update(resume=True, load_from=str(tmp_path / 'whole' / 'iter_4.pth'))
    actual = run(again)
    for key, value in expected.items():
        assert torch.equal(actual[key], value), key


def test_a_sample_without_labels_is_no_source():
    model = build()
    data = model.data_preprocessor(batch(), True)
    data['data_samples']['source'] = [SegDataSample(), SegDataSample()]
    with pytest.raises(AttributeError, match='gt_sem_seg'):
        model(**data, mode='loss')


@pytest.mark.parametrize('small', ['source', 'target'])
@pytest.mark.parametrize(
    'method', [tiny.dacs, tiny.daformer, tiny.anchor_teacher]
)
def test_all_images_of_a_domain_are_smaller_than_the_crop(method, small):
    torch.manual_seed(0)
    model = MODELS.build(method())
    model.init_weights()
    for part in model.data_preprocessor.modules():
        if getattr(part, 'size', None):  # pads only to the largest image
            part.size, part.size_divisor = None, 1
    data = batch()
    data['inputs'][small] = [x[:, :-8] for x in data['inputs'][small]]
    for sample in data['data_samples'][small]:
        sample.set_metainfo({'img_shape': (tiny.SIZE[0] - 8, tiny.SIZE[1])})
        if 'gt_sem_seg' in sample:
            labels = sample.gt_sem_seg.data[:, :-8]
            sample.gt_sem_seg = PixelData(data=labels)
    data = model.train().data_preprocessor(data, True)
    assert len({x.shape for x in data['inputs'].values()}) == 2
    total = sum(model.parse_losses(model(**data, mode='loss'))[1].values())
    assert total.isfinite()
