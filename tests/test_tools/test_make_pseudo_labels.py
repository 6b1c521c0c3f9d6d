# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The command, by two processes as a user starts them."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from PIL import Image

from mmseg_cag.datasets.pseudo_label_metadata import METADATA
from mmseg_cag.workflows.pseudo_labels.make import make_pseudo_labels
from mmseg_cag.workflows.pseudo_labels.select_confident import ThresholdRule
from tests import tiny
from tests.test_distributed import launch

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'work')
    cfg.model = tiny.segmentor()
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    cfg.launcher = 'none'
    cfg.dump(tmp_path / 'config.py')
    weights = MODELS.build(tiny.segmentor()).state_dict()
    torch.save({'state_dict': weights}, tmp_path / 'net.pth')
    return tmp_path / 'config.py'


@pytest.mark.long
def test_two_processes_write_what_one_does(config, tmp_path):
    one, two = tmp_path / 'one', tmp_path / 'two'
    net = config.with_name('net.pth')
    script = 'dist_make_pseudo_labels.sh'
    words = (config, net, two, 2, '--cap', 0.08)
    done = launch(script, tmp_path, *words)
    assert done.returncode == 0, done.stderr[-4000:]
    cfg = Config.fromfile(config)
    make_pseudo_labels(cfg, net, one, ThresholdRule(0.5, 0.08))
    notes = [json.loads((out / METADATA).read_text()) for out in (one, two)]
    assert notes[0]['origin'] == notes[1]['origin']
    assert notes[0]['classes'] == notes[1]['classes']
    names = sorted(p.relative_to(one) for p in one.rglob('*.png'))
    assert names == sorted(p.relative_to(two) for p in two.rglob('*.png'))
    for name in names:
        labels = [np.array(Image.open(out / name)) for out in (one, two)]
        assert np.array_equal(*labels), name
    # By one of the two.
    assert done.stdout.count('threshold') == 19


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (['none.py', 'x.pth', 'out'], 'none.py: config file not found'),
        (['{config}', 'x.pth', 'out'], 'x.pth: checkpoint not found'),
        (['c', 'x.pth', 'out', '--cap', '2'], '--cap: expected a number in'),
    ],
)
def test_what_is_wrong_in_one_line(config, monkeypatch, arguments, line):
    script = 'tools/make_pseudo_labels.py'
    arguments = [a.format(config=config) for a in arguments]
    monkeypatch.setattr(sys, 'argv', [script, *arguments])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / script), run_name='__main__')
    message = caught.value.code
    assert message.startswith(f'error: {line}') and '\n' not in message
