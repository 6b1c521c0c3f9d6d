# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import pytest
import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.models.segmentors import UDASegmentor
from tests import tiny

IMAGES = (2, 3, *tiny.SIZE)


class Mixed(UDASegmentor):
    """A method that never runs the student on a raw target image."""

    def loss(self, inputs: dict, data_samples: dict) -> dict:
        generator = self.step_generator()
        keep = torch.rand(2, 1, *tiny.SIZE, generator=generator) > 0.5
        images = torch.where(keep, inputs['source'], inputs['target'])
        self.observe(images=inputs['target'])
        labels = torch.randint(19, (2, *tiny.SIZE), generator=generator)
        output = self.forward_student(images)
        return self.supervised_loss(output, labels, 'mix', keep[:, 0].float())


def build(levels: int = 1) -> UDASegmentor:
    torch.manual_seed(0)
    cfg = tiny.adversarial(weights=(0.1,) * levels)
    keys = ('discriminator', 'adversarial_loss', 'adversarial_weights')
    for key in ('type', *keys):
        cfg.pop(key)
    return Mixed(**cfg).train()


def train_step(model: UDASegmentor) -> dict[str, Tensor]:
    torch.manual_seed(1)
    inputs = dict(source=torch.randn(IMAGES), target=torch.randn(IMAGES))
    samples = dict(source=None, target=None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = model(inputs, samples, mode='loss')
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    optimizer.step()
    return losses


def test_observing_leaves_no_trace():
    """Weights, statistics, random draws and modes are the same without it."""
    plain, seen = build(), []
    watched = copy.deepcopy(plain)
    watched.observers.append(lambda **maps: seen.append(maps))
    for _ in range(3):
        first = train_step(plain)
        draws = torch.rand(3)
        second = train_step(watched)
        assert torch.equal(torch.rand(3), draws)
        assert all(torch.equal(first[key], second[key]) for key in first)
    for key, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[key]), key
    modes = [[m.training for m in net.modules()] for net in (plain, watched)]
    assert modes[0] == modes[1]
    assert [set(maps) for maps in seen] == [{'images', 'student'}] * 3


def test_the_observers_see_a_student_in_evaluation():
    model, seen = build(), {}
    model.observers.append(lambda **maps: seen.update(maps))
    expected = copy.deepcopy(model).eval()
    train_step(model)
    scores = expected.forward_student(seen['images']).logits[0]
    assert torch.equal(seen['student'], scores)
    assert not seen['student'].requires_grad


def test_no_pass_that_no_method_asks_for():
    model, passes = build(), []
    model.backbone.register_forward_hook(lambda *_: passes.append(1))
    train_step(model)
    assert len(passes) == 1


def test_losses_are_named_by_their_head():
    losses = train_step(build(levels=2))
    heads = ('mix', 'mix.aux')
    names = ('loss_ce', 'acc_seg')
    assert set(losses) == {f'{h}.{n}' for h in heads for n in names}


def test_auxiliary_heads_run_where_they_are_wanted():
    model = build(levels=2)
    images = torch.randn(IMAGES)
    assert len(model.forward_student(images).logits) == 2
    assert len(model.forward_student(images, auxiliary=False).logits) == 1


@pytest.mark.parametrize('over_labelled', [False, True])
def test_weights_of_pixels(over_labelled):
    """Of each pixel by hand; void pixels count in the mean or do not."""
    model = build()
    model.decode_head.loss_decode.avg_non_ignore = over_labelled
    output = model.forward_student(torch.randn(IMAGES))
    labels = torch.randint(19, (2, *tiny.SIZE))
    labels[:, :5] = 255
    weight = torch.rand(2, *tiny.SIZE)
    losses = model.supervised_loss(output, labels, 'mix', weight)
    scores = nn.functional.interpolate(
        output.logits[0], tiny.SIZE, mode='bilinear'
    )
    pixels = nn.functional.cross_entropy(
        scores, labels, ignore_index=255, reduction='none'
    )
    count = (labels != 255).sum() if over_labelled else labels.numel()
    expected = (pixels * weight).sum() / count
    torch.testing.assert_close(losses['mix.loss_ce'], expected)


def test_the_draws_of_a_step_are_a_function_of_its_seed():
    model = build()

    def draw(seed: int) -> Tensor:
        torch.manual_seed(seed)
        generator = model.step_generator()
        torch.rand(5)  # what else the step draws
        return torch.rand(3, generator=generator)

    assert torch.equal(draw(4), draw(4))
    assert not torch.equal(draw(4), draw(5))


def test_a_domain_that_is_not_there():
    model = build()
    with pytest.raises(ValueError, match='Mixed: the batch has no target'):
        model(dict(source=torch.randn(IMAGES)), {}, mode='loss')


def test_features_of_a_head_that_classifies_twice():
    model = build()
    head = model.decode_head
    plain = head.forward
    head.forward = lambda inputs: plain(inputs) + plain(inputs)
    assert model.forward_student(torch.randn(IMAGES)).feat is None


def test_registered_class_is_that_of_the_package():
    assert MODELS.get('CAGSegmentor').__mro__[1] is UDASegmentor
