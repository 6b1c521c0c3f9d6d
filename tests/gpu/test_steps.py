# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A step of each method on a GPU."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from mmseg_cag.models.data_preprocessor import pin
from tests.gpu.methods import (
    build,
    is_left_out,
    load,
    losses_of,
    moved,
    optimizer,
)

pytestmark = pytest.mark.gpu
STEPS = 3
SLEEP = 10**9  # cycles of a GPU in half a second


@contextmanager
def no_waiting(device: str) -> Iterator[None]:
    """Let torch refuse what waits for the GPU."""
    if device != 'cuda':
        yield
        return
    torch.cuda.set_sync_debug_mode('error')
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode('default')


def gradient(model: nn.Module) -> Tensor:
    parts = [p.grad for p in model.parameters() if p.grad is not None]
    return torch.cat([part.detach().cpu().flatten() for part in parts])


def numbers(losses: dict) -> dict[str, float]:
    return {key: value.item() for key, value in losses.items()}


def test_what_waits_is_refused(on_gpu):
    values = torch.arange(3, device='cuda')
    with no_waiting('cuda'), pytest.raises(RuntimeError, match='synchron'):
        values.sum().item()


def test_losses_and_gradients_are_those_of_the_cpu(method, device, exact):
    cfg, batch = load(method, device)
    here = build(cfg, batch)
    there = copy.deepcopy(here).to(device)
    found = []
    for model in (here, there):
        losses = losses_of(model, batch)
        model.parse_losses(losses)[0].backward()
        found.append((numbers(losses), gradient(model)))
    (expected, slope), (values, other) = found
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        # Labels that rounding decides: shares and percentages move a little.
        allowed = 1.0 if 'acc' in name else 0.02
        assert values[name] == pytest.approx(value, rel=5e-3, abs=allowed)
        if 'loss' in name:
            assert values[name] == pytest.approx(value, rel=5e-3, abs=2e-3)
    assert (slope - other).norm() <= 0.05 * slope.norm()


def test_steps_in_bfloat16(method, device):
    if is_left_out(method, device):
        pytest.skip('of a GPU alone')
    take_steps(method, 'bf16', device)


# Where its range or its scaled losses may matter: distances, two optimizers,
# features of another network.
@pytest.mark.parametrize('name', ['cag', 'clan', 'daformer', 'proda'])
def test_steps_in_float16(name, device, on_gpu):
    take_steps(name, 'fp16', device)


def take_steps(method: str, amp: str, device: str) -> None:
    cfg, batch = load(method, device)
    model = build(cfg, batch, device).to(memory_format=torch.channels_last)
    full = model.parse_losses(losses_of(model, batch))[0].item()
    optim = optimizer(cfg, model, amp)
    before = [p.detach().clone() for p in model.parameters()]
    logs = [model.train_step(batch, optim) for _ in range(STEPS)]
    for log in logs:
        assert all(math.isfinite(v.item()) for v in log.values())
    assert logs[0]['loss'].item() == pytest.approx(full, rel=0.1, abs=0.1)
    after = list(model.parameters())
    assert all(p.isfinite().all() for p in after)
    assert any(not torch.equal(*pair) for pair in zip(before, after))  # noqa: B905


@pytest.mark.parametrize('amp', [None, 'bf16'])
def test_a_step_waits_for_nothing(method, amp, device):
    if is_left_out(method, device):
        pytest.skip('of a GPU alone')
    cfg, batch = load(method, device)
    model = build(cfg, batch, device).to(memory_format=torch.channels_last)
    optim = optimizer(cfg, model, amp)
    batch = moved(batch, device)
    model.train_step(batch, optim)  # what is made once may wait
    with no_waiting(device):
        for _ in range(2):
            log = model.train_step(batch, optim)
    assert math.isfinite(log['loss'].item())


def test_pinned_images_and_labels_wait_for_nothing(device, on_gpu):
    cfg, batch = load('cag', device)
    model, batch = build(cfg, batch, device), pin(batch)
    model.data_preprocessor(batch, True)  # what is made once may wait
    torch.cuda.synchronize()
    torch.cuda._sleep(SLEEP)
    awake = torch.cuda.Event()
    awake.record()
    model.data_preprocessor(batch, True)
    assert not awake.query()
