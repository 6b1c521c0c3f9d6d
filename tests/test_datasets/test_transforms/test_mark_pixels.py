# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmseg.registry import TRANSFORMS

from mmseg_cag.datasets.uda import seeded_transforms
from mmseg_cag.errors import UserError

MARGINS = dict(top=2, bottom=5, left=1, right=3)
GEOMETRY = [
    dict(type='Resize', scale=(32, 24), keep_ratio=False),
    dict(type='RandomCrop', crop_size=(16, 20)),
    dict(type='RandomFlip', prob=0.5),
]
AT_ONCE = [
    dict(
        type='RandomResizeCrop',
        scale=(40, 40),
        ratio_range=(0.8, 1.2),
        crop_size=(16, 20),
    )
]


def image() -> dict:
    """An image whose blue says what is trusted."""
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[2:25, 1:37, 0] = 255
    return dict(img=pixels, img_shape=pixels.shape[:2], ori_shape=(30, 40))


@pytest.mark.parametrize('steps', [GEOMETRY, AT_ONCE])
@pytest.mark.parametrize('seed', range(4))
def test_margins_move_with_the_image(steps, seed):
    pipeline = Compose(
        [dict(type='MarkUntrusted', **MARGINS), *steps]
        + [dict(type='PackMarkedSegInputs')]
    )
    with seeded_transforms((seed, 0)):
        packed = pipeline(image())
    trusted = packed['data_samples'].trusted.data
    blue = packed['inputs'][0]
    assert trusted.shape == (1, *blue.shape)
    clear = (blue < 10) | (blue > 245)  # no border runs through it
    assert torch.equal(trusted[0][clear] == 1, blue[clear] > 245)
    assert 'gt_sem_seg' not in packed['data_samples']


@pytest.mark.parametrize(
    'margins', [dict(top=10, bottom=20), dict(left=40), dict(top=-1)]
)
def test_margins_that_leave_nothing_are_refused(margins):
    with pytest.raises(UserError, match='MarkUntrusted: .*expected') as caught:
        TRANSFORMS.build(dict(type='MarkUntrusted', **margins))(image())
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('present', [False, True])
def test_whether_a_crop_has_things(present):
    labels = np.zeros((8, 8), np.uint8)
    labels[3, 4] = 13 if present else 2
    pipeline = Compose(
        [
            dict(type='FindThings', things=[6, 13]),
            dict(type='PackMarkedSegInputs'),
        ]
    )
    sample = pipeline(dict(image(), gt_seg_map=labels))['data_samples']
    assert sample.get('has_things') is present
