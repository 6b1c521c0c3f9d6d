# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_cag.engine.checks.require_crops import crop_of, require_crops
from mmseg_cag.errors import UserError
from mmseg_cag.launch.chain import train_chain

CONFIGS = Path(__file__).parents[2] / 'configs'


def load(path: str, **changes) -> Config:
    cfg = Config.fromfile(CONFIGS / path)
    cfg.merge_from_dict(
        {key.replace('__', '.'): v for key, v in changes.items()}
    )
    return cfg


@pytest.mark.parametrize(
    'path',
    [
        'cag/deeplabv2_gta2cs.py',
        'custom/mic.py',
        'hrda/dlv2red_r101_gta2cs.py',
        'mic/hrda_mit-b5_gta2cs.py',
        'minitown/hrda.py',
        'real_streets/mic_hrda.py',
    ],
)
def test_what_is_shipped_fits(path):
    require_crops(load(path))


def test_a_mask_block_larger_than_the_crop(tmp_path):
    cfg = load('minitown/mic.py', model__masking__block=129, start_from=None)
    cfg.update(work_dir=str(tmp_path), launcher='none')
    message = 'model.masking.block=129, but training images have 128 x 256'
    with pytest.raises(UserError, match=message):
        train_chain(cfg)


def test_a_detail_that_does_not_divide(tmp_path):
    cfg = load('minitown/hrda.py', start_from=None)
    cfg.model.backbone.detail_size = (60, 128)
    cfg.update(work_dir=str(tmp_path), launcher='none')
    message = 'detail_size is 60 x 128, expected multiples of .*divisor=8'
    with pytest.raises(UserError, match=message):
        train_chain(cfg)


@pytest.mark.parametrize(
    'path', ['minitown/dacs.py', 'minitown/anchor_teacher.py']
)
def test_no_trusted_row(tmp_path, path):
    """Before the warm-up is trained."""
    cfg = load(path, model__untrusted_top=28, model__untrusted_bottom=100)
    cfg.update(work_dir=str(tmp_path), launcher='none')
    message = 'untrusted_bottom=100, expected fewer rows than the 128 of'
    with pytest.raises(UserError, match=message):
        train_chain(cfg)
    require_crops(load(path, model__untrusted_bottom=127))


def test_the_last_crop_counts():
    steps = [dict(type='RandomCrop', crop_size=(9, 8)), dict(type='Flip')]
    assert crop_of(steps) == (9, 8)
    assert crop_of([*steps, dict(type='Crop', crop_size=4)]) == (4, 4)
    assert crop_of(steps[1:]) is None
    within = dict(type='RedrawCrop', transforms=steps)
    assert crop_of([within, steps[1]]) == (9, 8)
