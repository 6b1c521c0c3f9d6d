# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from torch import nn

from mmseg_cag.engine.optim.joint_optim_wrapper import JointOptimWrapper
from mmseg_cag.errors import UserError


class Pair(nn.Module):
    """Two parts whose losses do not reach each other."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(3, 3)
        self.decode_head = nn.Linear(3, 1)
        self.judge = nn.Linear(1, 1)

    def losses(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = self.decode_head(self.backbone(x))
        return out.square().mean(), (self.judge(out.detach()) - 1).abs().mean()


def config(**shared) -> dict:
    return dict(
        constructor='JointOptimWrapperConstructor',
        **shared,
        members=dict(
            student=dict(
                optimizer=dict(type='SGD', lr=0.1, momentum=0.9),
                paramwise_cfg=dict(
                    custom_keys={'decode_head': dict(lr_mult=10.0)}
                ),
            ),
            judge=dict(optimizer=dict(type='Adam', lr=0.01)),
        ),
    )


def batches(count: int) -> list[torch.Tensor]:
    return list(torch.randn(count, 5, 3))


def train(model: Pair, joint: JointOptimWrapper, data: list) -> None:
    for x in data:
        with joint.optim_context(model):
            loss = sum(model.losses(x))
        joint.update_params(loss)


def test_each_member_has_its_own_parameters_and_rates():
    model = Pair()
    joint = build_optim_wrapper(model, config())
    assert isinstance(joint, JointOptimWrapper)
    assert joint.get_lr() == {
        'student.base_lr': [0.1],
        'student.lr': [0.1, 0.1, 1.0, 1.0],
        'judge.lr': [0.01],
    }
    [group] = joint['judge'].optimizer.param_groups
    assert group['params'] == list(model.judge.parameters())


@pytest.mark.parametrize('counts', [1, 2])
def test_it_is_two_optimizers_one_after_the_other(counts):
    model = Pair()
    twin = copy.deepcopy(model)
    joint = build_optim_wrapper(model, config(accumulative_counts=counts))
    joint.initialize_count_status(model, 0, 5)
    student = torch.optim.SGD(
        [
            dict(params=twin.backbone.parameters()),
            dict(params=twin.decode_head.parameters(), lr=1.0),
        ],
        lr=0.1,
        momentum=0.9,
    )
    judge = torch.optim.Adam(twin.judge.parameters(), lr=0.01)
    data = batches(5)
    train(model, joint, data)
    for start in range(0, 5, counts):
        some = data[start : start + counts]
        for index, optimizer in enumerate((student, judge)):
            optimizer.zero_grad()
            sum(twin.losses(x)[index] for x in some).div(len(some)).backward()
        student.step()
        judge.step()
    for found, expected in zip(
        model.parameters(), twin.parameters(), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_a_member_clips_its_own_gradients():
    cfg = config()
    cfg['members']['judge']['clip_grad'] = dict(max_norm=0.0)
    cfg['members']['judge']['optimizer'] = dict(type='SGD', lr=1.0)
    model = Pair()
    old = copy.deepcopy(model.state_dict())
    train(model, build_optim_wrapper(model, cfg), batches(1))
    changed = {
        key.split('.')[0]
        for key, value in model.state_dict().items()
        if not torch.equal(value, old[key])
    }
    assert changed == {'backbone', 'decode_head'}


def test_a_loaded_state_goes_on_exactly():
    model = Pair()
    joint = build_optim_wrapper(model, config())
    data = batches(6)
    train(model, joint, data[:3])
    twin = copy.deepcopy(model)
    other = build_optim_wrapper(twin, config())
    other.load_state_dict(copy.deepcopy(joint.state_dict()))
    train(model, joint, data[3:])
    train(twin, other, data[3:])
    for found, expected in zip(
        twin.parameters(), model.parameters(), strict=True
    ):
        assert torch.equal(found, expected)


@pytest.fixture()
def amp(monkeypatch) -> JointOptimWrapper:
    """Joint members of mixed precision, on the CPU."""
    monkeypatch.setattr(
        amp_optimizer_wrapper, 'is_cuda_available', lambda: True
    )
    monkeypatch.setattr(
        amp_optimizer_wrapper,
        'GradScaler',
        lambda: torch.amp.GradScaler('cpu', init_scale=8.0),
    )
    model = Pair()
    joint = build_optim_wrapper(model, config(type='AmpOptimWrapper'))
    joint.model = model
    return joint


def test_members_share_one_loss_scale(amp):
    twin = copy.deepcopy(amp.model)
    plain = build_optim_wrapper(twin, config())
    [x] = batches(1)
    amp.update_params(sum(amp.model.losses(x)))
    plain.update_params(sum(twin.losses(x)))
    for found, expected in zip(
        amp.model.parameters(), twin.parameters(), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_an_overflow_skips_one_member_and_lowers_the_scale_once(amp):
    old = copy.deepcopy(amp.model.state_dict())
    student, judge = amp.model.losses(batches(1)[0])
    amp.update_params(student + judge * torch.tensor(float('inf')))
    new = amp.model.state_dict()
    assert all(torch.equal(new[k], old[k]) for k in new if 'judge' in k)
    assert not torch.equal(new['backbone.weight'], old['backbone.weight'])
    assert amp.lead.loss_scaler.get_scale() == 4.0


def test_the_loss_scale_is_saved_and_goes_on(amp):
    student, judge = amp.model.losses(batches(1)[0])
    amp.update_params((student + judge) * torch.tensor(float('inf')))
    other = build_optim_wrapper(Pair(), config(type='AmpOptimWrapper'))
    other.load_state_dict(copy.deepcopy(amp.state_dict()))
    scales = {m.loss_scaler.get_scale() for m in (*other.values(), amp.lead)}
    assert scales == {4.0}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(members=dict()), "expected 'student' among them"),
        (
            dict(members=dict(judge=dict())),
            "expected 'student' among them, which trains backbone",
        ),
        (dict(paramwise_cfg=dict(bias_lr_mult=2.0)), 'next to members'),
        (
            dict(members=dict(student=dict(), jury=dict())),
            'members.jury: Pair has no such part',
        ),
    ],
)
def test_misplaced_settings_are_named(change, message):
    with pytest.raises(UserError, match=message) as caught:
        build_optim_wrapper(Pair(), {**config(), **change})
    assert '\n' not in str(caught.value)


def test_a_plain_wrapper_can_be_a_member():
    model = Pair()
    joint = JointOptimWrapper(
        all=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    )
    train(model, joint, batches(2))
    assert joint.inner_count == 2
