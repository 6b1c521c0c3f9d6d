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

from mmseg_cag.datasets.transforms.load_translated_image import METADATA
from mmseg_cag.workflows.translate import translate_images
from tests import tiny
from tests.test_distributed import launch_two

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tiny.write_towns(tmp_path)
    cfg = tiny.translator_run(tmp_path, tmp_path / 'work')
    cfg.translate_dataloader.batch_size = 1
    cfg.dump(tmp_path / 'config.py')
    weights = MODELS.build(tiny.translator()).state_dict()
    torch.save({'state_dict': weights}, tmp_path / 'net.pth')
    return tmp_path / 'config.py'


@pytest.mark.long
def test_two_processes_write_what_one_does(config, tmp_path):
    one, two = tmp_path / 'one', tmp_path / 'two'
    net = config.with_name('net.pth')
    text = launch_two('dist_translate.sh', tmp_path, config, net, two)
    translate_images(Config.fromfile(config), net, one)
    notes = [json.loads((out / METADATA).read_text()) for out in (one, two)]
    for key in ('origin', 'images', 'names_sha256', 'sizes'):
        assert notes[0][key] == notes[1][key]
    names = sorted(p.relative_to(one) for p in one.rglob('*.png'))
    assert names == sorted(p.relative_to(two) for p in two.rglob('*.png'))
    for name in names:
        images = [np.array(Image.open(out / name)) for out in (one, two)]
        assert np.array_equal(*images), name
    # By one of the two.
    assert text.count('7 images, 7 of 64x32') == 1


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (['none.py', 'x.pth', 'out'], 'none.py: config file not found'),
        (['{config}', 'x.pth', 'out'], 'x.pth: checkpoint not found'),
        (['c', 'x.pth', 'out', '--batch-size', '0'], '--batch-size: exp'),
    ],
)
def test_what_is_wrong_in_one_line(config, monkeypatch, arguments, line):
    script = 'tools/translate.py'
    arguments = [a.format(config=config) for a in arguments]
    monkeypatch.setattr(sys, 'argv', [script, *arguments])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / script), run_name='__main__')
    message = caught.value.code
    assert message.startswith(f'error: {line}') and '\n' not in message
