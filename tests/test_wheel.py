# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The installed package, without the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmseg_cag.watch.card import make_card
from mmseg_cag.watch.network import WatchedNetwork
from tests.test_quickstart import command
from tests.watched import draw, look_without_torch, write_network

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
PARTS = ('mmseg_cag', 'configs', 'tools', 'requirements')
SCRIPT = """
import runpy
import sys
from pathlib import Path
import numpy as np, torch
import mmseg_cag
home = Path(mmseg_cag.__file__).parent
assert home.is_relative_to(sys.argv[1]), home
from mmengine.config import Config
from mmseg.apis import MMSegInferencer, inference_model, init_model
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules
register_all_modules()
path = home / '.mim/configs/minitown/cag.py'
cfg = Config.fromfile(path)
weights = MODELS.build(cfg.model).state_dict()
meta = dict(classes=[str(i) for i in range(19)], palette=[[0, 0, 0]] * 19)
torch.save(dict(meta=dict(dataset_meta=meta), state_dict=weights), 'run.pth')
model = init_model(str(path), 'run.pth', device='cpu')
assert type(model).__name__ == 'CAGSegmentor'
image = np.zeros((64, 128, 3), np.uint8)
result = inference_model(model, image)
assert result.pred_sem_seg.shape == (64, 128)
tool = str(home / '.mim/tools/model_converters/export_student.py')
sys.argv = [tool, str(path), 'run.pth', 'student.pth']
runpy.run_path(tool, run_name='__main__')
inferencer = MMSegInferencer('student.py', 'student.pth', device='cpu')
labels = inferencer(image)['predictions']
assert (labels == result.pred_sem_seg.data[0].numpy()).all()
print('agrees')
"""


@pytest.fixture(scope='module')
def installed(tmp_path_factory) -> Path:
    """A folder that the package is installed in, of its wheel."""
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    source.mkdir()
    for name in PARTS:
        ignore = shutil.ignore_patterns('__pycache__', '.mim')
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    subprocess.run(
        [
            *(sys.executable, '-m', 'pip', 'install', '--quiet'),
            *('--no-deps', '--no-index', '--no-build-isolation'),
            *('--target', str(folder / 'site'), str(source)),
        ],
        check=True,
        env={**os.environ, 'PYTHONPATH': ''},
    )
    return folder / 'site'


def test_the_wheel_has_the_configs_and_the_index(installed):
    mim = installed / 'mmseg_cag/.mim'
    for name in ('configs', 'tools'):
        actual = {
            str(path.relative_to(mim))
            for path in (mim / name).rglob('*')
            if path.is_file() and '__pycache__' not in path.parts
        }
        expected = {
            str(path.relative_to(ROOT))
            for path in (ROOT / name).rglob('*')
            if path.is_file() and '__pycache__' not in path.parts
        }
        assert actual == expected and actual
    assert (mim / 'model-index.yml').is_file()


def test_the_quickstart_runs_from_it(installed, tmp_path):
    tool, *options = command(tmp_path)[1:]
    done = subprocess.run(
        [sys.executable, installed / 'mmseg_cag/.mim' / tool, *options],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(installed)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    scores = json.loads((tmp_path / 'runs/summary.json').read_text())
    assert 0 <= scores['anchor_teacher'] <= 100


def test_mmsegs_apis_run_a_cag_checkpoint_of_it(installed, tmp_path):
    environment = {**os.environ, 'PYTHONPATH': str(installed)}
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', SCRIPT, str(installed)],
        cwd=tmp_path,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.stdout.endswith('agrees\n'), done.stderr[-3000:]


def test_its_watch_needs_neither_torch_nor_mmseg(installed, tmp_path):
    path = write_network(tmp_path / 'student.onnx')
    network = WatchedNetwork(path)
    seen = [network.look(frame) for frame in draw(60, seed=0)]
    card = make_card(seen, network.fingerprint, network.classes, 2, True)
    card.write(tmp_path / 'student.card.json')
    done = look_without_torch(path, installed)
    assert done.stdout == f'{installed}\n[]\n[]\n', done.stderr
