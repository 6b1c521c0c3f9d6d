# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Classes that a domain does not label are not taught to be absent there."""

from __future__ import annotations

import copy

import pytest
import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mmseg_cag.errors import UserError
from mmseg_cag.models.losses.head_loss import head_loss
from mmseg_cag.models.masking import choose_domains
from mmseg_cag.models.mixing import Labelled, paste
from tests import tiny

TERRAIN, TRUCK = 9, 14


def proda() -> dict:
    return dict(tiny.segmentor(), type='ProDASegmentor')


METHODS = {
    'adversarial': tiny.adversarial,
    'anchor_teacher': tiny.anchor_teacher,
    'cag': tiny.cag,
    'clan': tiny.clan,
    'dacs': tiny.dacs,
    'daformer': tiny.daformer,
    'hrda': lambda: tiny.two_scales(tiny.dacs()),
    'proda': proda,
    'supervised': lambda: dict(tiny.segmentor(), type='SupervisedSegmentor'),
}


def source_gradient(name: str, absent: tuple[int, ...]) -> Tensor:
    """The gradient of the source's losses at the classifier's bias (K,)."""
    torch.manual_seed(0)
    model = MODELS.build(METHODS[name]())
    model.init_weights()
    batch = tiny.raw_batch()
    for sample in batch['data_samples']['source']:
        sample.set_metainfo(dict(absent=absent) if absent else {})
    data = model.train().data_preprocessor(batch, True)
    torch.manual_seed(1)
    losses = model(**data, mode='loss')
    sum(
        v
        for k, v in losses.items()
        if k.startswith('source.') and 'loss' in k and 'dis' not in k
    ).backward()
    head = getattr(model.decode_head, 'head', model.decode_head)
    return head.conv_seg.bias.grad


@pytest.mark.parametrize('name', METHODS)
def test_no_method_teaches_them(name):
    plain = source_gradient(name, ())
    assert (plain != 0).all()
    found = source_gradient(name, (TERRAIN, TRUCK))
    assert not found[[TERRAIN, TRUCK]].any()
    others = [k for k in range(19) if k not in (TERRAIN, TRUCK)]
    assert (found[others] != 0).all()


def test_the_loss_is_the_cross_entropy_over_the_classes_that_are_left():
    head = MODELS.build(tiny.segmentor()).decode_head
    scores = torch.randn(2, 19, *tiny.SIZE)
    labels = torch.randint(0, 4, (2, *tiny.SIZE))
    absent = torch.zeros(2, 19, *tiny.SIZE, dtype=torch.bool)
    absent[0, 9:] = True
    found = head_loss(head, scores, labels, absent=absent)['loss_ce']
    first = cross_entropy(scores[:1, :9], labels[:1])
    second = cross_entropy(scores[1:], labels[1:])
    assert torch.allclose(found, (first + second) / 2)
    plain = head_loss(head, scores, labels)['loss_ce']
    none = head_loss(head, scores, labels, absent=absent & False)['loss_ce']
    assert torch.equal(plain, none) and plain != found


@pytest.mark.parametrize('name', METHODS)
def test_labels_of_an_absent_class_are_void(name):
    model = MODELS.build(METHODS[name]()).train()
    batch = tiny.raw_batch()
    for sample in batch['data_samples']['source']:
        sample.gt_sem_seg.data[:, 8:20] = TERRAIN
        sample.set_metainfo(dict(absent=(TRUCK, TERRAIN)))
    found = source_losses(model, batch)
    for sample in batch['data_samples']['source']:
        sample.gt_sem_seg.data[:, 8:20] = tiny.VOID
    assert found == source_losses(model, batch)
    assert max(found.values()) < 100


def source_losses(model: nn.Module, batch: dict) -> dict[str, float]:
    """The source's losses, in the same state at each call."""
    state = copy.deepcopy(model.state_dict())
    torch.manual_seed(1)
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    losses = model(**data, mode='loss')
    model.load_state_dict(state)
    return {k: v.item() for k, v in losses.items() if k.startswith('source.')}


def test_a_head_with_a_loss_of_its_own_is_refused():
    head = MODELS.build(tiny.segmentor()).decode_head

    class Own(type(head)):
        def loss_by_feat(self, *args):
            return {}

    head.__class__ = Own
    absent = torch.ones(1, 19, 4, 4, dtype=torch.bool)
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    with pytest.raises(UserError, match='absent classes; expected a head'):
        head_loss(head, torch.zeros(1, 19, 4, 4), labels, absent=absent)


def test_samples_tell_it():
    model = MODELS.build(METHODS['supervised']())
    samples = [SegDataSample(metainfo=dict(absent=(3,))), SegDataSample()]
    labels = torch.zeros(2, 5, 6, dtype=torch.long)
    absent = model.absent_classes(samples, labels)
    assert absent.shape == (2, 19, 5, 6)
    assert absent[0, 3].all() and absent.sum() == 5 * 6
    assert model.absent_classes(samples[1:], labels[1:]) is None


def test_only_pasted_pixels_are_of_the_source():
    labels = torch.zeros(2, 4, 4, dtype=torch.long)
    images, weight = torch.zeros(2, 3, 4, 4), torch.ones(2, 4, 4)
    absent = torch.zeros(2, 5, 4, 4, dtype=torch.bool)
    absent[1, 2] = True
    source = Labelled(images, labels, absent=absent)
    target = Labelled(images, labels, weight)
    mask = torch.rand(2, 4, 4) > 0.5
    mixed = paste(source, target, mask).absent
    assert torch.equal(mixed[1, 2], mask[1]) and not mixed[0].any()
    assert mixed.sum() == mask[1].sum()
    halves = choose_domains(
        'separate', source._replace(absent=~absent), target
    )
    assert halves.absent[0].any() and not halves.absent[1].any()
