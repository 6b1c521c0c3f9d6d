# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os

import numpy as np
from mmseg.registry import VISBACKENDS
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from mmseg_cag.monitor import vis_backends as optional_tensorboard


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
    assert 'pip install tensorboard' in line
    assert not (tmp_path / 'none').exists()


def test_with_tensorboard_numbers_and_images_are_in_its_file(tmp_path):
    use(build(tmp_path))
    [path] = tmp_path.glob('events.out.tfevents.*')
    events = EventAccumulator(str(path)).Reload()
    [active] = events.Scalars('monitor/active')
    assert (active.step, active.value) == (3, 0.5)
    [target] = events.Images('target')
    assert (target.step, target.width, target.height) == (3, 2, 2)


def test_an_image_may_have_a_name_that_is_no_utf8(tmp_path):
    backend = VISBACKENDS.build(
        dict(type='BestEffortVisBackend', save_dir=str(tmp_path))
    )
    image = np.zeros((4, 4, 3), np.uint8)
    backend.add_image(os.fsdecode(b'a\xcb.png'), image)
    [written] = tmp_path.rglob('*.png')
    assert written.name == 'a\\udccb.png_0.png'
