# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""An image translator under mmengine's runner."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from PIL import Image

from mmseg_cag.errors import UserError
from tests import tiny

ITERS = 4


@pytest.fixture(scope='module')
def straight(tmp_path_factory) -> Path:
    """A run that was never stopped, on towns without any label."""
    root = tmp_path_factory.mktemp('translator')
    tiny.write_towns(root)
    shutil.rmtree(root / 'gta' / 'labels')
    shutil.rmtree(root / 'cityscapes' / 'gtFine')
    cfg = tiny.translator_run(root, root / 'run')
    cfg.default_hooks.visualization = dict(
        type='TranslationPanelHook', interval=3, num_images=1
    )
    cfg.vis_backends = [dict(type='LocalVisBackend')]
    cfg.visualizer = dict(
        type='SegLocalVisualizer', vis_backends=cfg.vis_backends
    )
    Runner.from_cfg(cfg).train()
    return root


def state(folder: Path, iteration: int) -> dict:
    path = folder / f'iter_{iteration}.pth'
    return torch.load(path, weights_only=False)['state_dict']


def test_both_players_learn_and_the_pools_fill(straight):
    first, last = (state(straight / 'run', i) for i in (1, ITERS))
    for key, value in last.items():
        if key.endswith('weight'):
            assert not torch.equal(first[key], value), key
    # Of two new images a step, three are kept.
    for domain in ('source', 'target'):
        assert last[f'pools.{domain}.seen'] == 2 * ITERS
        assert len(first[f'pools.{domain}.images']) == 2
        assert last[f'pools.{domain}.images'].shape == (3, 3, 24, 24)


def test_a_resumed_run_is_the_one_never_stopped(straight, tmp_path):
    cfg = tiny.translator_run(straight, tmp_path)
    cfg.load_from = str(straight / 'run' / 'iter_2.pth')
    cfg.resume = True
    Runner.from_cfg(cfg).train()
    found, expected = state(tmp_path, ITERS), state(straight / 'run', ITERS)
    assert found.keys() == expected.keys()
    for key in found:
        assert torch.equal(found[key], expected[key]), key


def test_a_panel_of_both_domains_is_drawn(straight):
    [panel] = (straight / 'run').rglob('translation_*.png')
    # There, and back; an image of each domain.
    assert panel.stem == 'translation_3'
    assert Image.open(panel).size == (3 * 24, 2 * 24)


def test_weights_of_another_generator_are_refused(straight, tmp_path):
    cfg = tiny.translator_run(straight, tmp_path)
    cfg.custom_hooks.append(dict(type='CheckCheckpointHook'))
    cfg.load_from = str(straight / 'run' / 'iter_2.pth')
    cfg.model.generator.channels = 2
    with pytest.raises(UserError, match='another network, generators'):
        Runner.from_cfg(cfg).train()
