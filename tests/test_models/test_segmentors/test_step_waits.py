# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The forward and backward pass of a step wait for no device."""

from __future__ import annotations

import pytest
import torch
from mmseg.registry import MODELS
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests import tiny
from tests.alternating import draw, joint_losses

METHODS = {
    'cag': lambda: tiny.cag(by=('anchor', 'probability')),
    'adaptsegnet': lambda: tiny.adversarial((0.1, 0.02)),
    'clan': tiny.clan,
    'bdl': tiny.bdl,
}
# What reads a value of the device, on whichever it is.
WAITS = {
    '_local_scalar_dense',
    'nonzero',
    'masked_select',
    'is_nonzero',
    'equal',
    '_unique2',
    'bincount',
}


class Waits(TorchDispatchMode):
    """Note the operators that wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        mask = name == 'index' and any(
            index is not None and index.dtype == torch.bool
            for index in args[1]
        )
        if mask or name in WAITS:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


class NoCopies(TorchFunctionMode):
    """Refuses what copies numbers of the host to a GPU and waits."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, '__name__', '')
        indices = args[1] if name == '__getitem__' else ()
        indices = indices if isinstance(indices, tuple) else (indices,)
        if (
            name == 'new_tensor'
            or name in ('tensor', 'as_tensor', 'asarray')
            and kwargs.get('device') is not None
            or any(isinstance(index, list) for index in indices)
        ):
            raise AssertionError(f'{name} waits for a copy to the device')
        return function(*args, **kwargs)


def test_what_waits_is_seen():
    values = torch.arange(3.0)
    with Waits() as waits:
        values[values > 1].sum().item()
    assert waits.found == ['index', '_local_scalar_dense']


@pytest.mark.parametrize('name', METHODS)
def test_forward_and_backward_wait_for_nothing(name):
    model = MODELS.build(METHODS[name]()).train()
    source, labels, target = draw()
    batch = (source.float(), labels, target.float())
    with NoCopies(), Waits() as waits:
        losses = joint_losses(model, batch)
        model.parse_losses(losses)[0].backward()
    assert waits.found == []


@pytest.mark.parametrize(
    'copy',
    [
        lambda x: x.new_tensor([0.5, 2]),
        lambda x: torch.tensor([1, 2], device=x.device),
        lambda x: torch.as_tensor([1, 2], device=x.device),
        lambda x: x[:, [1, 0]],
    ],
)
def test_a_copy_is_noticed(copy):
    with NoCopies(), pytest.raises(AssertionError, match='waits for a copy'):
        copy(torch.ones(2, 2))
