# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Every method in bfloat16 and float16, as far as a CPU has them."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmseg.registry import MODELS
from torch import Tensor, nn

from tests import tiny
from tests.alternating import draw, joint_losses
from tests.test_models.test_segmentors.test_mic import mic
from tests.test_models.test_segmentors.test_proda import settings as proda

METHODS = {
    'cag': tiny.cag,
    'adaptsegnet': lambda: tiny.adversarial((0.1, 0.02)),
    'least_squares': lambda: tiny.adversarial(least_squares=True),
    'clan': lambda: tiny.clan(preheat=-1.0),
    'bdl': tiny.bdl,
    'dacs': tiny.dacs,
    'daformer': tiny.daformer,
    'mic': mic,
    'proda': proda,
    'translator': tiny.translator,
}
PRECISIONS = {
    'BFloat16OptimWrapper': torch.bfloat16,
    'AmpOptimWrapper': torch.float16,
}


@pytest.fixture(autouse=True)
def half_on_the_cpu(monkeypatch) -> None:
    """Let mmengine's wrapper for float16 run on the CPU."""
    amp = amp_optimizer_wrapper
    monkeypatch.setattr(amp, 'is_cuda_available', lambda: True)
    scaler = partial(torch.amp.GradScaler, 'cpu', init_scale=64.0)
    monkeypatch.setattr(amp, 'GradScaler', scaler)
    monkeypatch.setattr(
        'mmengine.runner.amp.autocast',
        lambda dtype: torch.autocast('cpu', dtype or torch.float16),
    )


def optim_of(name: str, kind: str) -> dict:
    # Steps along the gradient: Adam's first one tells its signs alone.
    sgd = dict(optimizer=dict(type='SGD', lr=1e-2))
    if name in ('cag', 'dacs', 'daformer', 'mic', 'proda'):
        return dict(type=kind, **sgd)
    student = 'generators' if name == 'translator' else 'student'
    return dict(
        constructor='JointOptimWrapperConstructor',
        type=kind,
        members={student: sgd, 'discriminators': sgd},
    )


def losses_of(name: str, model: nn.Module, batch: tuple) -> dict[str, Tensor]:
    source, labels, target = batch
    source, target = source.float(), target.float()
    if name == 'translator':
        return model.loss({'source': source.tanh(), 'target': target.tanh()})
    return joint_losses(model, (source, labels, target))


def step(
    name: str, model: nn.Module, kind: str, batch: tuple
) -> tuple[float, Tensor]:
    """Take a step; returns the loss and where it led all parameters."""
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    wrapper = build_optim_wrapper(model, optim_of(name, kind))
    torch.manual_seed(4)
    with wrapper.optim_context(model):
        losses = losses_of(name, model, batch)
    assert all(
        v.dtype == torch.float32 for k, v in losses.items() if 'loss' in k
    )
    loss, _ = model.parse_losses(losses)
    wrapper.update_params(loss)
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert after.isfinite().all() and after.dtype == torch.float32
    return loss.item(), after - before


@pytest.mark.parametrize('kind', PRECISIONS)
@pytest.mark.parametrize('name', METHODS)
def test_a_step_goes_where_float32_leads(name, kind):
    model = MODELS.build(METHODS[name]()).train()
    if name in ('cag', 'proda'):
        bank = model.anchor_bank if name == 'cag' else model.prototypes
        bank.anchors.normal_()
        bank.counts.fill_(1)
    twin = copy.deepcopy(model)
    batch = draw()
    found, moved = step(name, model, kind, batch)
    loss, expected = step(name, twin, 'OptimWrapper', batch)
    assert found == pytest.approx(loss, rel=0.02)
    cosine = torch.cosine_similarity(moved, expected, dim=0)
    assert cosine > 0.95
    # It is another precision.
    assert not torch.equal(moved, expected)
