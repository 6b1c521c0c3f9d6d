# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The process group of a command ends before Python does.

Otherwise a thread of gloo's frees a tensor while Python ends, and aborts: a
command that has done its work fails, now and then.
"""

from __future__ import annotations

import pytest
import torch
from mmseg.registry import MODELS

from tests import tiny
from tests.test_distributed import launch_two

# Handlers run in reverse: this one after all that the command registers.
WATCH = """
import atexit, weakref
import torch.distributed

groups, begin = [], torch.distributed.init_process_group

def init_process_group(*args, **kwargs):
    begin(*args, **kwargs)
    groups.append(weakref.ref(torch.distributed.group.WORLD))

torch.distributed.init_process_group = init_process_group
# In one piece: ranks print at the same time.
atexit.register(
    lambda: print(f'left: {[group() for group in groups]}\\n', end='')
)
"""


@pytest.mark.long
@pytest.mark.parametrize('command', ['train', 'test', 'make_pseudo_labels'])
def test_no_group_is_left_when_python_ends(command, tmp_path, monkeypatch):
    # Python imports a module of this name when it starts.
    (tmp_path / 'sitecustomize.py').write_text(WATCH)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run', 1)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    cfg.dump(tmp_path / 'config.py')
    weights = MODELS.build(tiny.segmentor()).state_dict()
    torch.save({'state_dict': weights}, tmp_path / 'net.pth')
    words = {
        'train': [],
        'test': [tmp_path / 'net.pth'],
        'make_pseudo_labels': [tmp_path / 'net.pth', tmp_path / 'labels'],
    }[command]
    script = f'dist_{command}.sh'
    said = launch_two(script, tmp_path, tmp_path / 'config.py', *words)
    assert said.count('left: [None]') == 2
