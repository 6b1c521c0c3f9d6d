# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_cag.errors import UserError
from tests import tiny
from tests.alternating import (
    Alternating,
    draw,
    joint_losses,
    largest_difference,
    make,
    up,
)

# Variants: the student's weights of the adversarial loss, and its kind.
VARIANTS = {
    'single level': ((0.1,), False),
    'multi level': ((0.1, 0.02), False),
    'least squares': ((0.1,), True),
}


def distance(judged: Tensor, domain: float, least_squares: bool) -> Tensor:
    constant = torch.full_like(judged, domain)
    if least_squares:
        return F.mse_loss(judged, constant)
    return F.binary_cross_entropy_with_logits(judged, constant)


def play(weights: tuple[float, ...], least_squares: bool):
    """AdaptSegNet's step as released, with a backward pass for each loss."""

    def forward(model, images):
        pyramid = model.backbone(images)
        scores = [model.decode_head(pyramid)]
        if len(weights) > 1:
            scores.append(model.auxiliary_head(pyramid))
        return [up(s) for s in scores]

    def step(loop: Alternating, batch: tuple, iteration: int) -> None:
        model, (source, labels, target) = loop.model, batch
        judges = model.discriminators
        loop.freeze_judges(True)
        source = forward(model, source)
        sum(
            weight * F.cross_entropy(scores, labels, ignore_index=tiny.VOID)
            for weight, scores in zip((1.0, 0.4), source, strict=False)
        ).backward()
        target = forward(model, target)
        sum(
            weight * distance(judge(scores.softmax(1)), 0, least_squares)
            for weight, judge, scores in zip(
                weights, judges, target, strict=True
            )
        ).backward()
        loop.freeze_judges(False)
        for domain, views in enumerate((source, target)):
            for judge, scores in zip(judges, views, strict=True):
                judged = judge(scores.detach().softmax(1))
                loss = distance(judged, domain, least_squares) / 2
                loss.backward()

    return step


@pytest.mark.parametrize('variant', VARIANTS)
def test_five_joint_steps_are_those_of_the_alternating_loop(variant):
    config = tiny.adversarial(*VARIANTS[variant])
    assert largest_difference(config, play(*VARIANTS[variant])) < 1e-12


@pytest.fixture()
def model():
    return make(tiny.adversarial((0.1, 0.02)))


def gradients_of(model, losses: dict, *words: str) -> dict[str, Tensor]:
    """Gradients of the losses whose key has one of the words."""
    model.zero_grad()
    chosen = [v for k, v in losses.items() if any(w in k for w in words)]
    sum(chosen).backward(retain_graph=True)
    return {
        name: p.grad.clone()
        for name, p in model.named_parameters()
        if p.grad is not None
    }


def test_no_loss_reaches_the_other_players_weights(model):
    losses = joint_losses(model, draw())
    judge = gradients_of(model, losses, 'loss_dis')
    student = gradients_of(model, losses, 'loss_adv', 'loss_ce')
    adversarial = gradients_of(model, losses, 'loss_adv')
    together = gradients_of(model, losses, 'loss_')
    assert {name.split('.')[0] for name in judge} == {'discriminators'}
    assert 'discriminators' not in {name.split('.')[0] for name in student}
    assert adversarial.keys() == student.keys()
    assert all(grad.any() for grad in adversarial.values())
    assert together.keys() == dict(model.named_parameters()).keys()
    for name, grad in (judge | student).items():
        torch.testing.assert_close(together[name], grad)


def test_losses_are_those_of_each_domain(model):
    losses = joint_losses(model, draw())
    assert {key for key in losses if 'loss' in key} == {
        f'{domain}.{level}{loss}'
        for level in ('', 'aux.')
        for domain, loss in (
            ('source', 'loss_ce'),
            ('target', 'loss_adv'),
            ('source', 'loss_dis'),
            ('target', 'loss_dis'),
        )
    }


def test_each_domain_is_judged_at_its_own_size(monkeypatch):
    model = make(tiny.adversarial())
    model.target_size = (40, 72)
    seen = []
    judge = model.discriminators[0]
    judge.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[2:]))
    joint_losses(model, draw())
    # The student's pass, then the judge's on each domain.
    assert seen == [(40, 72), tiny.SIZE, (40, 72)]


def test_a_level_without_a_weight_has_no_discriminator():
    config = tiny.adversarial((0.1, 0.02))
    config.adversarial_weights = [0.1]
    model = make(config)
    losses = joint_losses(model, draw())
    assert 'source.aux.loss_ce' in losses
    assert 'target.aux.loss_adv' not in losses
    assert len(model.discriminators) == 1


@pytest.mark.parametrize('weights', [[], [0.1, 0.2]])
def test_weights_that_do_not_fit_the_levels(weights):
    config = tiny.adversarial()
    config.adversarial_weights = weights
    with pytest.raises(UserError, match='adversarial_weights, expected 1 to'):
        MODELS.build(config)


@pytest.mark.parametrize(
    'model', [tiny.adversarial((0.1, 0.02)), tiny.clan()], ids=lambda m: m.type
)
def test_a_resumed_run_is_the_one_never_stopped(model, tmp_path):
    tiny.write_towns(tmp_path)

    def run(name: str, **changes) -> dict:
        cfg = tiny.adversarial_run(
            tmp_path, tmp_path / name, copy.deepcopy(model)
        )
        cfg.merge_from_dict(changes)
        Runner.from_cfg(cfg).train()
        path = tmp_path / name / 'iter_6.pth'
        return torch.load(path, weights_only=False)

    straight = run('straight')
    resumed = run(
        'resumed', load_from=f'{tmp_path}/straight/iter_3.pth', resume=True
    )
    assert straight['optimizer'].keys() == {'student', 'discriminators'}
    assert resumed['param_schedulers'] == straight['param_schedulers']
    for part in ('state_dict', 'optimizer'):
        torch.testing.assert_close(
            resumed[part], straight[part], rtol=0, atol=0
        )
