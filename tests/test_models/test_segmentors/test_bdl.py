# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from tests import tiny
from tests.alternating import Alternating, largest_difference, make, up


def draw() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Source images, their labels, target images, their pseudo labels."""
    source, target = torch.randn(2, 2, 3, *tiny.SIZE, dtype=torch.double)
    labels, pseudo = torch.randint(0, 19, (2, 2, *tiny.SIZE))
    labels[:, -4:] = tiny.VOID
    pseudo[:, :, ::3] = tiny.VOID
    return source, labels, target + 0.5, pseudo


def losses_of(model: nn.Module, batch: tuple) -> dict[str, Tensor]:
    source, labels, target, *pseudo = batch
    labelled = [
        SegDataSample(gt_sem_seg=PixelData(data=label[None]))
        for label in labels
    ]
    plain = [SegDataSample() for _ in target]
    for own in pseudo:
        for sample, label in zip(plain, own, strict=True):
            sample.pseudo_sem_seg = PixelData(data=label[None])
    return model.loss(
        {'source': source, 'target': target},
        {'source': labelled, 'target': plain},
    )


def play(loop: Alternating, batch: tuple, iteration: int) -> None:
    """BDL's step as released: four backward passes."""
    model, (source, labels, target, *pseudo) = loop.model, batch
    [judge] = model.discriminators

    def forward(images: Tensor) -> Tensor:
        return up(model.decode_head(model.backbone(images)))

    def entropy(judged: Tensor, domain: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            judged, torch.full_like(judged, domain)
        )

    loop.freeze_judges(True)
    source = forward(source)
    F.cross_entropy(source, labels, ignore_index=tiny.VOID).backward()
    target = forward(target)
    loss = 0.1 * entropy(judge(target.softmax(1)), 0)
    for own in pseudo:
        loss = loss + F.cross_entropy(target, own, ignore_index=tiny.VOID)
    loss.backward()
    loop.freeze_judges(False)
    for domain, scores in enumerate((source, target)):
        judged = judge(scores.detach().softmax(1))
        (entropy(judged, domain) / 2).backward()


@pytest.mark.parametrize('parts', [3, 4], ids=['plain', 'pseudo labels'])
def test_five_joint_steps_are_those_of_the_alternating_loop(parts):
    difference = largest_difference(
        tiny.bdl(), play, lambda: draw()[:parts], losses_of
    )
    assert difference < 1e-12


def test_without_pseudo_labels_it_is_the_adversarial_method():
    model = make(tiny.bdl())
    losses = losses_of(model, draw()[:3])
    assert {key for key in losses if 'loss' in key} == {
        'source.loss_ce',
        'target.loss_adv',
        'source.loss_dis',
        'target.loss_dis',
    }


@pytest.mark.parametrize('domain', ['source', 'target'])
def test_what_is_ignored_everywhere_costs_nothing(domain):
    model, batch = make(tiny.bdl()), draw()
    batch[1 if domain == 'source' else 3].fill_(tiny.VOID)
    losses = losses_of(model, batch)
    assert losses[f'{domain}.loss_ce'] == 0
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_auxiliary_heads_learn_from_pseudo_labels_too():
    losses = losses_of(make(tiny.bdl(weights=(0.1, 0.02))), draw())
    assert losses['target.aux.loss_ce'] > 0


@pytest.mark.parametrize('branches', [2, 4])
def test_active_branches(branches):
    config = tiny.bdl()
    config.decode_head = dict(
        type='DLV2Head',
        in_channels=8,
        active_branches=branches,
        num_classes=19,
        align_corners=True,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    )
    model = make(config)
    assert len(model.decode_head.branches) == branches
    assert losses_of(model, draw())['target.loss_ce'] > 0
