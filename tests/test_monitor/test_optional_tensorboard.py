# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import torch.utils
from mmseg.registry import VISBACKENDS

from mmseg_cag.monitor import optional_tensorboard


def build(folder):
    return VISBACKENDS.build(
        dict(type='OptionalTensorboardVisBackend', save_dir=str(folder))
    )


def use(backend) -> None:
    """Use it as a run does."""
    backend.add_config(None)
    backend.add_scalars({'monitor/active': 0.5, 'iter': 3}, step=3)
    backend.add_image('target', np.zeros((2, 2, 3), np.uint8), step=3)
    backend.close()


def test_without_tensorboard_it_says_so_once(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(optional_tensorboard, 'find_spec', lambda _: None)
    monkeypatch.setattr(
        optional_tensorboard, 'print_log', lambda text, _: said.append(text)
    )
    backend = build(tmp_path / 'none')
    assert said == []
    use(backend)
    use(backend)
    [line] = said
    assert 'pip install mmseg_cag[monitor]' in line
    assert not (tmp_path / 'none').exists()


class Writer:
    """Keep what TensorBoard's writer is given."""

    given = []

    def __init__(self, folder: str) -> None:
        self.given.append(('folder', folder))

    def __getattr__(self, name: str):
        return lambda *args, **_: self.given.append((name, *args))


def test_with_tensorboard_numbers_and_images_go_to_it(tmp_path, monkeypatch):
    module = ModuleType('torch.utils.tensorboard')
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(torch.utils, 'tensorboard', module, raising=False)
    monkeypatch.setattr(optional_tensorboard, 'find_spec', lambda _: True)
    use(build(tmp_path))
    kinds = [kind for kind, *_ in Writer.given]
    assert kinds == [
        'folder',
        'add_scalar',
        'add_scalar',
        'add_image',
        'close',
    ]
    assert ('add_scalar', 'monitor/active', 0.5, 3) in Writer.given
