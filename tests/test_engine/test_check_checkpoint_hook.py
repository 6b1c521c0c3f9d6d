# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from types import SimpleNamespace

import pytest
from mmseg.registry import HOOKS, MODELS

from tests import tiny


@pytest.fixture
def check():
    model = MODELS.build(tiny.cag())
    hook = HOOKS.build(dict(type='CheckCheckpointHook'))
    runner = SimpleNamespace(model=model, _load_from='some.pth')

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


def test_an_unrelated_file_is_refused(check):
    _, run = check
    with pytest.raises(ValueError, match='another network'):
        run({'x': 1})
