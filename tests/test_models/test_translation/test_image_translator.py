# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.models.translation.resnet_generator import InstanceNorm
from tests import tiny

STEPS = 5


@pytest.fixture
def perceptual(tmp_path: Path) -> dict:
    """The config of a perceptual loss, heavier than any published."""
    config = tiny.segmentor()
    network = MODELS.build(config)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
    path = tmp_path / 'net.pth'
    torch.save({'state_dict': network.state_dict()}, path)
    return dict(
        type='PerceptualLoss',
        segmentor=config,
        checkpoint=str(path),
        reconstruction_weight=3.0,
        translation_weight=0.7,
    )


def make(**kwargs) -> nn.Module:
    model = MODELS.build(tiny.translator(**kwargs)).double()
    # With published weights of this size nothing would move in five steps.
    for name, parameter in model.named_parameters():
        if name.endswith('weight'):
            nn.init.normal_(parameter, std=0.2)
    return model.train()


def draw() -> dict[str, Tensor]:
    source, target = torch.rand(2, 2, 3, 24, 32, dtype=torch.double) * 2 - 1
    return {'source': source, 'target': target / 2}


def joint_steps(model: nn.Module, batches: list[dict]) -> None:
    wrapper = build_optim_wrapper(model, tiny.translator_optim())
    for batch in batches:
        loss, _ = model.parse_losses(model.loss(batch))
        wrapper.update_params(loss)


def alternating_steps(
    model: nn.Module, batches: list[dict], config: dict, weights: dict
) -> None:
    """The publications' loop: first both generators, then both judges."""
    g, f = model.generators['target'], model.generators['source']
    judges = model.discriminators
    players = [
        torch.optim.Adam(part.parameters(), 1e-3, (0.5, 0.999))
        for part in (model.generators, judges)
    ]
    network = MODELS.build(config).double().eval()
    network.load_state_dict(weights)

    def features(images: Tensor) -> Tensor:
        mean, std = (
            torch.tensor(v).view(3, 1, 1) for v in (tiny.MEAN, tiny.STD)
        )
        # From RGB in [-1, 1] to the RGB that the network was trained on.
        images = ((images + 1) * 127.5 - mean) / std
        scores = network.decode_head(network.extract_feat(images))
        mean = scores.mean((2, 3), keepdim=True)
        variance = scores.var((2, 3), unbiased=False, keepdim=True)
        return (scores - mean) / (variance + 1e-5).sqrt()

    for batch in batches:
        s, t = batch['source'], batch['target']
        players[0].zero_grad()
        judges.requires_grad_(False)
        fake_t, fake_s = g(s), f(t)
        back_s, back_t = f(fake_t), g(fake_s)
        ones = torch.ones(2, 1, 4, 6, dtype=torch.double)
        loss = F.mse_loss(judges['target'](fake_t), ones)
        loss += F.mse_loss(judges['source'](fake_s), ones)
        loss += 10 * (F.l1_loss(back_s, s) + F.l1_loss(back_t, t))
        loss += 5 * (F.l1_loss(f(s), s) + F.l1_loss(g(t), t))
        for real, back, fake in ((s, back_s, fake_t), (t, back_t, fake_s)):
            wanted = features(real).detach()
            loss += 3 * F.mse_loss(features(back), wanted)
            loss += 0.7 * F.mse_loss(features(fake), wanted)
        loss.backward()
        players[0].step()
        judges.requires_grad_(True)
        players[1].zero_grad()
        for name, real, fake in (('source', s, fake_s), ('target', t, fake_t)):
            fake = model.pools[name](fake.detach())
            loss = F.mse_loss(judges[name](real), ones)
            loss += F.mse_loss(judges[name](fake), 0 * ones)
            (loss / 2).backward()
        players[1].step()


def idle(model: nn.Module, key: str) -> bool:
    """Tell whether a value is the bias of a normalised convolution."""
    path, _, name = key.rpartition('.')
    layers, _, index = path.rpartition('.')
    if name != 'bias':
        return False
    after = list(model.get_submodule(layers))[int(index) + 1 :]
    return bool(after) and isinstance(after[0], InstanceNorm)


def test_five_joint_steps_are_those_of_the_alternating_loop(perceptual):
    model = make(perceptual=perceptual)
    start = copy.deepcopy(model.state_dict())
    twin = copy.deepcopy(model)
    batches = [draw() for _ in range(STEPS)]
    joint_steps(model, batches)
    weights = torch.load(perceptual['checkpoint'])['state_dict']
    alternating_steps(twin, batches, perceptual['segmentor'], weights)
    found, expected = model.state_dict(), twin.state_dict()
    for name, parameter in model.named_parameters():
        if name.endswith('weight'):
            assert (parameter - start[name]).abs().max() > 1e-3, name
    for key in found:
        # Instance norm undoes the bias before it, whose gradient is rounding,
        # which Adam enlarges.
        limit = 1e-8 if idle(model, key) else 1e-12
        assert (found[key] - expected[key]).abs().max() < limit, key
    # The pools had more images than they keep.
    assert found['pools.source.seen'] == 2 * STEPS


def test_no_loss_reaches_the_other_players_weights(perceptual):
    model = make(perceptual=perceptual)
    losses = model.loss(draw())
    for judge in (True, False):
        model.zero_grad()
        chosen = [v for k, v in losses.items() if ('loss_dis' in k) == judge]
        sum(chosen).backward(retain_graph=True)
        reached = {
            name.split('.')[0]
            for name, p in model.named_parameters()
            if p.grad is not None
        }
        assert reached == {'discriminators' if judge else 'generators'}


def test_losses_are_named_after_their_domain(perceptual):
    names = ('adv', 'cycle', 'identity', 'dis')
    expected = {f'{d}.loss_{n}' for d in ('source', 'target') for n in names}
    assert set(make().loss(draw())) == expected
    more = {'perceptual', 'perceptual_rec'}
    expected |= {f'{d}.loss_{n}' for d in ('source', 'target') for n in more}
    assert set(make(perceptual=perceptual).loss(draw())) == expected


def test_the_segmentor_is_neither_saved_nor_trained(perceptual):
    model = make(perceptual=perceptual)
    assert set(model.state_dict()) == set(make().state_dict())
    network = model.perceptual._segmentor[0]
    before = copy.deepcopy(network.state_dict())
    joint_steps(model, [draw()])
    after = network.state_dict()
    assert not network.training
    # Running statistics as well.
    assert all(
        torch.equal(after[key].to(before[key]), before[key]) for key in before
    )


def test_source_images_become_grey_levels_of_the_target():
    model = make().float()
    image = torch.randint(0, 256, (3, 24, 32), dtype=torch.uint8)
    batch = dict(inputs=[image], data_samples=[None])
    made = model.translate_source(batch)
    assert made.dtype == torch.uint8
    rgb = (image.flip(0)[None].float() - 127.5) / 127.5
    with torch.no_grad():
        expected = model.generators['target'](rgb).flip(1) * 127.5 + 127.5
    assert (made - expected).abs().max() <= 0.5001
