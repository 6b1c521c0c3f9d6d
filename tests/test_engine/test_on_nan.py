# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a run does about a loss that is not finite, and what it says."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from mmseg.registry import HOOKS, MODELS

from mmseg_cag.engine.loops import AHEAD
from mmseg_cag.engine.resilience.guarded_optim import (
    GuardedOptim,
    KeptBuffers,
)
from mmseg_cag.engine.resilience.non_finite_hook import first_bad_module
from mmseg_cag.errors import UserError
from mmseg_cag.models.translation.image_pool import ImagePool
from tests import tiny
from tests.faults.compare import same
from tests.test_models.test_segmentors.test_proda import settings as proda

LOSS = 'decode_head.loss_decode'


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('on_nan')
    tiny.write_towns(root)
    return root


class SpoilOnce(Hook):
    """Make the loss not a number at one batch, and note states and files."""

    priority = 'LOWEST'

    def __init__(self, at: int) -> None:
        self.at = at
        self.files: list[list[str]] = []
        self.states: list[dict] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        samples = data_batch['data_samples']['source']
        self.files.append([sample.img_path for sample in samples])
        bad = len(self.files) == self.at
        loss = runner.model.get_submodule(LOSS)
        loss.loss_weight = math.nan if bad else 1.0

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        state = runner.model.state_dict()
        self.states.append({k: v.clone() for k, v in state.items()})


def run(
    root: Path,
    work_dir: Path,
    on_nan: str,
    at: int,
    counts: int = 1,
    model: ConfigDict | None = None,
) -> tuple:
    cfg = tiny.adversarial_run(root, work_dir, model or tiny.adversarial())
    if model is not None:
        cfg.optim_wrapper = dict(
            type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
        )
    cfg.custom_hooks.append(dict(type='NonFiniteHook', on_nan=on_nan, limit=1))
    cfg.default_hooks.checkpoint.interval = 2
    cfg.default_hooks.runtime_info = dict(type='LossLogHook')
    cfg.default_hooks.monitor = dict(type='MonitorHook', interval=1)
    cfg.train_cfg.update(max_iters=4, val_interval=4)
    cfg.optim_wrapper.accumulative_counts = counts
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    runner = Runner.from_cfg(cfg)
    spoil = SpoilOnce(at)
    runner.register_hook(spoil)
    runner.train()
    return runner, spoil


def test_skip_goes_on_from_the_state_before(root, tmp_path):
    runner, spoil = run(root, tmp_path, 'skip', at=3)
    first, second, third, fourth = spoil.states
    assert same(third, second)
    weights = [name for name, _ in runner.model.named_parameters()]
    assert not same(
        *({name: state[name] for name in weights} for state in (fourth, third))
    )
    assert runner.iter == 4
    # The log has what was lost, and all the others.
    scalars = runner.message_hub.log_scalars['train/loss'].data[0]
    assert [math.isfinite(x) for x in scalars] == [True, True, False, True]


def test_rollback_goes_on_with_the_data_after(root, tmp_path):
    runner, spoil = run(root, tmp_path, 'rollback', at=4)
    # Steps 1 to 4, the last in vain, then 3 and 4 with other images.
    assert len(spoil.files) == 6 and runner.iter == 4
    assert same(spoil.states[3], spoil.states[1])
    stream = sum(spoil.files, [])
    assert sorted(stream[:7]) == sorted(set(stream))  # each image once
    assert runner.message_hub.get_info(AHEAD) == 2
    saved = torch.load(tmp_path / 'iter_4.pth', weights_only=False)
    assert same(saved['state_dict'], spoil.states[-1])
    # The monitor has no line of what was undone.
    lines = (tmp_path / 'monitor.jsonl').read_text().splitlines()
    assert [json.loads(line)['iter'] for line in lines] == [1, 2, 3, 4]


# Methods with a teacher, and what else of theirs moves in a step.
TEACHERS = {
    'daformer': (tiny.daformer, ()),
    'anchor_teacher': (
        tiny.anchor_teacher,
        ('anchor_bank.anchors', 'running_margin.counts'),
    ),
    'proda': (proda, ('prototypes.anchors',)),
}


@pytest.mark.parametrize('on_nan', ['skip', 'rollback'])
@pytest.mark.parametrize('name', TEACHERS)
def test_a_teacher_is_as_it_was(root, tmp_path, name, on_nan):
    method, moving = TEACHERS[name]
    runner, spoil = run(root, tmp_path, on_nan, at=4, model=method())
    before = 2 if on_nan == 'skip' else 1
    assert same(spoil.states[3], spoil.states[before])
    for key in moving:
        states = [state[key] for state in spoil.states[:3]]
        assert not torch.equal(states[1], states[2]), key
        assert states[2].isfinite().all(), key
    teacher = getattr(runner.model, 'momentum_teacher', runner.model.teacher)
    assert teacher.updates == teacher.steps == (3 if before == 2 else 4)


def test_rollback_accumulates_anew(root, tmp_path):
    # The first of two batches is bad.
    runner, spoil = run(root, tmp_path, 'rollback', at=3, counts=2)
    assert len(spoil.files) == 5 and runner.iter == 4
    weights = [name for name, _ in runner.model.named_parameters()]
    *_, before, after, end = (
        {name: state[name] for name in weights} for state in spoil.states
    )
    assert same(before, after) and not same(after, end)


class Pooled(torch.nn.Module):
    """A pool of images, whose loss is not a number."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = ImagePool(2)
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.pool(images).mean() * self.weight * math.nan


@pytest.mark.parametrize('seen', [0, 1, 2])
def test_skip_takes_images_out_of_a_pool(seen):
    model = Pooled()
    for _ in range(seen):
        model.pool(torch.rand(1, 3, 2, 2))
    before = copy.deepcopy(model.state_dict())
    kept = KeptBuffers()
    kept.keep(model)
    optim = OptimWrapper(torch.optim.SGD([model.weight], lr=0.1))
    GuardedOptim(optim).update_params(model(torch.rand(2, 3, 2, 2)))
    assert not same(model.state_dict(), before)
    kept.restore()
    assert same(model.state_dict(), before)


@pytest.mark.parametrize(
    ('counts', 'taken'), [(1, [1, 1, 0, 1, 1, 1]), (2, [0, 1, 0, 0, 0, 1])]
)
def test_the_steps_of_bad_batches_alone_are_left_out(counts, taken):
    weight = torch.nn.Parameter(torch.ones(()))
    sgd = torch.optim.SGD([weight], lr=0.1)
    wrapper = OptimWrapper(sgd, accumulative_counts=counts)
    guard = GuardedOptim(wrapper)
    moved = []
    for factor in (1, 1, math.nan, 1, 1, 1):
        before = weight.item()
        guard.update_params(weight * factor)
        assert guard.was_finite() == math.isfinite(factor)
        moved.append(int(weight.item() != before))
    assert moved == taken


class OwnUpdate(OptimWrapper):
    """A wrapper that does not update as mmengine's does."""

    def update_params(self, loss: torch.Tensor) -> None:
        self.step()


def test_an_update_that_cannot_be_guarded_is_refused():
    weight = torch.nn.Parameter(torch.ones(()))
    wrapper = OwnUpdate(torch.optim.SGD([weight], lr=0.1))
    with pytest.raises(UserError, match='OwnUpdate overrides update_params'):
        GuardedOptim(wrapper)
    with pytest.raises(UserError, match='OptimWrapperDict overrides'):
        GuardedOptim(OptimWrapperDict(one=wrapper))


def test_there_is_a_limit(root, tmp_path):
    hook = HOOKS.build(dict(type='NonFiniteHook', on_nan='skip', limit=0))
    cfg = tiny.adversarial_run(root, tmp_path, tiny.adversarial())
    runner = Runner.from_cfg(cfg)
    runner.register_hook(hook)
    runner.register_hook(SpoilOnce(1))
    with pytest.raises(UserError, match='iteration 1: .* the 1th, limit=0'):
        runner.train()


def test_an_unknown_action_is_refused():
    with pytest.raises(UserError, match="on_nan='ignore', expected one of"):
        HOOKS.build(dict(type='NonFiniteHook', on_nan='ignore'))


def test_the_first_bad_module_is_named():
    model = MODELS.build(tiny.segmentor())
    model.train()
    weight = model.decode_head.convs[0].conv.weight
    with torch.no_grad():
        weight[0, 0, 0, 0] = math.inf
    found = first_bad_module(model, {})
    assert found == 'decode_head.convs.0.conv (its weights)'


class Unstable(torch.nn.Module):
    """A network whose second part takes the root of what it is given."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift
        self.first = torch.nn.Linear(2, 2)
        self.second = torch.nn.ModuleDict({'root': Root()})

    def data_preprocessor(self, batch: dict, training: bool) -> dict:
        return batch

    def forward(self, x: torch.Tensor, mode: str) -> dict:
        return {'loss': self.second['root'](self.first(x) + self.shift).sum()}


class Root(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sqrt()


def test_the_module_whose_output_is_bad_is_named_by_its_path():
    images = {'x': torch.ones(1, 2)}
    assert first_bad_module(Unstable(-100), images) == 'second.root'
    assert first_bad_module(Unstable(100), images) is None
