# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""One backward over all losses is CycleGAN's alternating loop."""

from __future__ import annotations

import copy

import torch
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from torch import Tensor, nn

from tests import tiny

STEPS = 5
ADAM = dict(type='Adam', lr=2e-4, betas=(0.5, 0.999))
MEMBERS = ('generators', 'discriminators')


def make() -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='ImageTranslator',
            data_preprocessor=tiny.preprocessor([127.5] * 3, [127.5] * 3),
            generator=dict(type='ResNetGenerator', channels=4, num_blocks=1),
            discriminator=dict(
                type='PatchDiscriminator', channels=4, num_layers=2
            ),
            pool_size=3,
        )
    )
    model.init_weights()
    return model.double().train()


def step_alternately(
    model: nn.Module, images: dict[str, Tensor], adam: dict
) -> None:
    """Generators with frozen judges, then judges on the pools' images."""
    to, judges = model.generators, model.discriminators
    a, b = images['source'], images['target']
    judges.requires_grad_(False)
    adam['generators'].zero_grad()
    fake_b, fake_a = to['target'](a), to['source'](b)
    loss = (judges['target'](fake_b) - 1).square().mean()
    loss += (judges['source'](fake_a) - 1).square().mean()
    loss += 10 * (to['source'](fake_b) - a).abs().mean()
    loss += 10 * (to['target'](fake_a) - b).abs().mean()
    loss += 5 * (to['source'](a) - a).abs().mean()
    loss += 5 * (to['target'](b) - b).abs().mean()
    loss.backward()
    adam['generators'].step()
    judges.requires_grad_(True)
    adam['discriminators'].zero_grad()
    for domain, real, fake in (
        ('source', a, fake_a),
        ('target', b, fake_b),
    ):
        judge, pool = judges[domain], model.pools[domain]
        good = (judge(real) - 1).square().mean()
        bad = judge(pool(fake.detach())).square().mean()
        ((good + bad) / 2).backward()
    adam['discriminators'].step()


def test_five_joint_steps_are_five_alternating_ones():
    model = make()
    start, twin = copy.deepcopy(model.state_dict()), copy.deepcopy(model)
    size = (STEPS, 2, 2, 3, *tiny.SIZE)
    batches = [
        dict(source=source, target=target)
        for source, target in torch.rand(size, dtype=torch.double) * 2 - 1
    ]
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor='JointOptimWrapperConstructor',
            type='OptimWrapper',
            members={name: dict(optimizer=ADAM) for name in MEMBERS},
        ),
    )
    adam = {
        name: torch.optim.Adam(
            getattr(twin, name).parameters(), lr=2e-4, betas=(0.5, 0.999)
        )
        for name in MEMBERS
    }
    for images in batches:
        wrapper.update_params(model.parse_losses(model.loss(images))[0])
        step_alternately(twin, images, adam)
    found, expected = model.state_dict(), twin.state_dict()
    moved = [k for k, p in model.named_parameters() if (p != start[k]).any()]
    assert len(moved) == len(list(model.parameters()))
    for key in found:
        torch.testing.assert_close(
            found[key], expected[key], rtol=0, atol=1e-12
        )
