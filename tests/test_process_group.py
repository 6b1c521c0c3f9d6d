# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The process group of a command ends before Python does.

Otherwise a thread of gloo's frees a tensor while Python ends, and aborts: a
command that has done its work fails, now and then.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmseg.registry import MODELS

from tests import tiny
from tests.test_distributed import free_port

ROOT = Path(__file__).parents[1]
# Handlers run in reverse: this one after all that the command registers.
WATCHED = """
import atexit, runpy, sys, weakref
import torch.distributed

groups, begin = [], torch.distributed.init_process_group

def init_process_group(*args, **kwargs):
    begin(*args, **kwargs)
    groups.append(weakref.ref(torch.distributed.group.WORLD))

torch.distributed.init_process_group = init_process_group
atexit.register(lambda: print('left:', [group() for group in groups]))
del sys.argv[0]
sys.path.insert(0, sys.argv[0].rpartition('/')[0])
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def run_as_rank(tool: str, folder: Path, *arguments: object) -> str:
    """Run a tool as the only rank; returns its output."""
    done = subprocess.run(
        [
            *(sys.executable, '-c', WATCHED, ROOT / 'tools' / tool),
            *map(str, arguments),
            *('--launcher', 'pytorch'),
        ],
        env={
            **os.environ,
            **dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1'),
            **dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port()),
            **dict(CUDA_VISIBLE_DEVICES='', PYTHONPATH=str(ROOT)),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.long
@pytest.mark.parametrize(
    'tool', ['train.py', 'test.py', 'make_pseudo_labels.py']
)
def test_no_group_is_left_when_python_ends(tool, tmp_path):
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run', 1)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    cfg.dump(tmp_path / 'config.py')
    weights = MODELS.build(tiny.segmentor()).state_dict()
    torch.save({'state_dict': weights}, tmp_path / 'net.pth')
    arguments = {
        'train.py': [],
        'test.py': [tmp_path / 'net.pth'],
        'make_pseudo_labels.py': [tmp_path / 'net.pth', tmp_path / 'labels'],
    }[tool]
    output = run_as_rank(tool, tmp_path, tmp_path / 'config.py', *arguments)
    assert 'left: [None]' in output
