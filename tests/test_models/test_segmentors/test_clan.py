# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmseg_cag.errors import UserError
from mmseg_cag.models.segmentors.base import run_network
from mmseg_cag.models.student import student_weights
from tests import tiny
from tests.alternating import (
    Alternating,
    draw,
    joint_losses,
    largest_difference,
    make,
    up,
)

TOTAL, PREHEAT = 10, 2


def co_training() -> ConfigDict:
    """CLAN with two DeepLab-V2 heads."""
    model = tiny.clan(TOTAL, PREHEAT / TOTAL)
    model.decode_head = dict(
        type='CoTrainingHead',
        in_channels=8,
        num_classes=19,
        dilations=(1, 2),
        align_corners=False,
        loss_decode=dict(type='SoftmaxFocalLoss'),
    )
    return model


def focal(scores, labels):
    p = scores.softmax(1).clamp(1e-9, 1 - 1e-9)
    valid = labels != tiny.VOID
    own = p.gather(1, labels.where(valid, 0).unsqueeze(1)).squeeze(1)[valid]
    return -((1 - own).square() * own.log()).mean()


def entropy(judged, domain, weights=None):
    judged = up(judged)
    losses = F.binary_cross_entropy_with_logits(
        judged, torch.full_like(judged, domain), reduction='none'
    )
    if weights is None:
        return losses.mean()
    return (0.4 * losses + 40 * weights * losses).mean()


def play(loop: Alternating, batch: tuple, iteration: int) -> None:
    """CLAN's step as released: five backward passes."""
    model, (source, labels, target) = loop.model, batch
    [judge] = model.discriminators
    damping = 1 - iteration / TOTAL

    def forward(images):
        if model.co_classifier is None:
            x = model.backbone(images)
            return [up(head(x)) for head in model.decode_head.heads]
        output = run_network(model, images)
        [logits] = output.logits
        return [up(logits), up(model.co_classifier(output.feat))]

    loop.freeze_judges(True)
    source = forward(source)
    sum(focal(scores, labels) for scores in source).backward()

    target = forward(target)
    first, second = (scores.softmax(1) for scores in target)
    weights = None
    if iteration > PREHEAT:
        dot = (first * second).sum(1, keepdim=True)
        norms = first.norm(dim=1, keepdim=True) * second.norm(
            dim=1, keepdim=True
        )
        weights = 1 - dot / norms
    judged = judge(sum(target).softmax(1))
    (0.1 * damping * entropy(judged, 0, weights)).backward()

    vectors = [
        torch.cat([p.flatten() for p in module.parameters()])
        for module in model.classifiers()
    ]
    cosine = F.cosine_similarity(*vectors, dim=0)
    (0.1 * damping * 2 * (cosine + 1)).backward()

    loop.freeze_judges(False)
    entropy(judge(sum(source).detach().softmax(1)), 0).backward()
    weights = weights if weights is None else weights.detach()
    judged = judge(sum(target).detach().softmax(1))
    entropy(judged, 1, weights).backward()


@pytest.mark.parametrize('config', [tiny.clan, co_training])
def test_five_joint_steps_are_those_of_the_alternating_loop(config):
    assert largest_difference(config(), play) < 1e-12


def losses_at(model, iteration: int, batch: tuple) -> dict:
    MessageHub.get_current_instance().update_info('iter', iteration)
    return joint_losses(model, batch)


def test_preheat_and_damping():
    model = make(tiny.clan(TOTAL, PREHEAT / TOTAL))
    model.norm_eval = True
    model.train()
    batch = draw()
    first, heated, after, late = (
        losses_at(model, i, batch) for i in (0, PREHEAT, PREHEAT + 1, 8)
    )
    for key in ('target.loss_adv', 'target.loss_weight'):
        torch.testing.assert_close(heated[key], 0.8 * first[key])
    # Strictly after the preheat pixels have weights, in both games.
    ratio = after['target.loss_adv'] / 0.7 / first['target.loss_adv']
    assert not 0.9 < ratio < 1.1
    torch.testing.assert_close(
        late['target.loss_adv'] / 0.2, after['target.loss_adv'] / 0.7
    )
    torch.testing.assert_close(
        after['target.loss_dis'], late['target.loss_dis']
    )
    assert not torch.isclose(
        heated['target.loss_dis'], after['target.loss_dis']
    )


def test_the_weights_of_pixels_have_a_gradient_for_the_student_alone():
    model = make(tiny.clan(TOTAL, PREHEAT / TOTAL))
    losses = losses_at(model, PREHEAT + 1, draw())
    judge, student = (
        {
            name.split('.')[0]
            for name, p in model.named_parameters()
            if torch.autograd.grad(
                losses[key], p, retain_graph=True, allow_unused=True
            )[0]
            is not None
        }
        for key in ('target.loss_dis', 'target.loss_adv')
    )
    assert judge == {'discriminators'}
    assert student == {'backbone', 'decode_head', 'co_classifier'}


@torch.no_grad()
@pytest.mark.parametrize('config', [tiny.clan, co_training])
def test_prediction_sums_both_classifiers(config):
    model = MODELS.build(config()).eval()
    images = torch.randn(1, 3, *tiny.SIZE)
    [result] = model.predict(images)
    first, second = model.forward_student(images).logits
    assert not torch.allclose(first, second)
    torch.testing.assert_close(result.seg_logits.data, up(first + second)[0])


@torch.no_grad()
def test_exported_it_is_a_stock_segmentor_of_one_classifier():
    model = MODELS.build(tiny.clan()).eval()
    stock = MODELS.build(tiny.segmentor()).eval()
    stock.load_state_dict(student_weights(model.state_dict(), {}))
    images = torch.randn(1, 3, *tiny.SIZE)
    torch.testing.assert_close(stock._forward(images), model._forward(images))


def test_it_starts_from_a_network_of_one_classifier():
    stock = MODELS.build(tiny.segmentor())
    model = MODELS.build(tiny.clan())
    missing, unexpected = model.load_state_dict(
        stock.state_dict(), strict=False
    )
    assert not unexpected
    assert {key.split('.')[0] for key in missing} == {
        'co_classifier',
        'discriminators',
    }
    # Not a copy: equal weights would never be pushed apart.
    assert model.co_classifier.weight.std() < 0.02


def test_a_run_from_that_network_counts_by_its_own_length(tmp_path):
    tiny.write_towns(tmp_path)
    stock = MODELS.build(tiny.segmentor())
    path = tmp_path / 'stock.pth'
    torch.save({'state_dict': stock.state_dict()}, path)
    cfg = tiny.adversarial_run(tmp_path, tmp_path / 'run', tiny.clan())
    cfg.model.total_iters = None
    cfg.custom_hooks.append(dict(type='CheckCheckpointHook'))
    cfg.load_from = str(path)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.model.progress() == 5 / 6  # in the last of six iterations


def test_the_anchors_method_starts_from_an_adversarial_network():
    model = MODELS.build(tiny.adversarial())
    cag = MODELS.build(tiny.cag())
    missing, unexpected = cag.load_state_dict(model.state_dict(), strict=False)
    assert not missing
    assert {key.split('.')[0] for key in unexpected} == {'discriminators'}


def test_networks_that_cannot_be_used():
    config = tiny.clan()
    config.auxiliary_head = config.decode_head
    with pytest.raises(UserError, match='auxiliary_head is set'):
        MODELS.build(config)
    config = co_training()
    config.decode_head.num_heads = 3
    with pytest.raises(UserError, match='CoTrainingHead has neither two'):
        MODELS.build(config)
