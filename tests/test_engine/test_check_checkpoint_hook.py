# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import CheckpointLoader
from mmseg.registry import HOOKS, MODELS

from mmseg_cag.engine.checks.check_checkpoint_hook import forget_named_parts
from mmseg_cag.fileio.safe_load import read_checkpoint
from tests import tiny
from tests.test_models.test_segmentors.test_foreign_anchors import (
    model as foreign_model,
)


@pytest.fixture
def check():
    model = MODELS.build(tiny.cag())
    hook = HOOKS.build(dict(type='CheckCheckpointHook'))
    runner = SimpleNamespace(
        model=model, _load_from='some.pth', _train_loop=None
    )

    def run(state):
        hook.after_load_checkpoint(runner, {'state_dict': state})

    return model, run


def test_its_own_and_a_stock_checkpoint_pass(check):
    model, run = check
    state = model.state_dict()
    run(state)
    run({k: v for k, v in state.items() if not k.startswith('teacher.')})


def test_a_missing_part_is_named(check):
    model, run = check
    state = model.state_dict()
    state.pop('decode_head.conv_seg.weight')
    with pytest.raises(
        ValueError, match=r'^some\.pth: .*decode_head\.conv_seg\.weight is not'
    ):
        run(state)


def test_another_shape_is_named_on_both_sides(check):
    model, run = check
    state = model.state_dict()
    weight = state['decode_head.conv_seg.weight']
    state['decode_head.conv_seg.weight'] = weight[:5]
    with pytest.raises(ValueError, match=r'\(5, .*expected shape \(19, '):
        run(state)


def test_a_teacher_of_another_network_is_refused(check):
    model, run = check
    state = model.state_dict()
    key = 'teacher.module.decode_head.conv_seg.weight'
    state[key] = state[key][:5]
    with pytest.raises(ValueError, match=rf'another network, {key} has'):
        run(state)


def test_networks_that_the_config_names_stay():
    model = foreign_model(alignment=dict())
    network = MODELS.build(model)
    state = {name: 0 for name in network.state_dict()}
    forget_named_parts(network, state)
    gone = network.state_dict().keys() - state.keys()
    assert {key.split('.')[0] for key in gone} == {'foreign'}
    network.teacher.is_fixed = True
    forget_named_parts(network, state)
    assert not [key for key in state if key.startswith('teacher.')]
    assert 'anchor_bank.anchors' in state


def test_an_unrelated_file_is_refused(check):
    _, run = check
    with pytest.raises(ValueError, match='another network'):
        run({'x': 1})


@pytest.mark.parametrize('prefix', ['module.', 'module._orig_mod.'])
def test_a_checkpoint_of_a_wrapper_is_that_of_its_network(
    check, prefix, tmp_path
):
    model, run = check
    path = str(tmp_path / 'a.pth')
    state = {prefix + k: value for k, value in model.state_dict().items()}
    torch.save(dict(state_dict=state), path)
    run(CheckpointLoader.load_checkpoint(path)['state_dict'])
    read = read_checkpoint(path)['state_dict']
    assert read.keys() == model.state_dict().keys()
    torch.save(state, path)  # the weights alone
    assert CheckpointLoader.load_checkpoint(path).keys() == read.keys()


def test_a_part_that_is_called_module_keeps_its_name(tmp_path):
    path = str(tmp_path / 'a.pth')
    state = {'module.weight': torch.ones(1), 'head.weight': torch.ones(1)}
    torch.save(dict(state_dict=state), path)
    assert read_checkpoint(path)['state_dict'].keys() == state.keys()
