# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmseg.registry import TRANSFORMS

from mmseg_cag.datasets.uda import seeded_transforms
from mmseg_cag.errors import UserError
from tests.golden import golden_file

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


def test_what_is_padded_is_not_trusted():
    steps = Compose(
        [
            dict(type='MarkUntrusted', top=1),
            dict(type='PadMarked', size=(6, 5), pad_val=dict(img=0, seg=255)),
        ]
    )
    labels = np.zeros((3, 4), np.uint8)
    results = steps(
        dict(
            img=np.ones((3, 4, 3), np.uint8),
            gt_seg_map=labels,
            seg_fields=['gt_seg_map'],
        )
    )
    assert results['img'].shape == (5, 6, 3)
    assert (results['gt_seg_map'][3:] == 255).all()
    trusted = np.zeros((5, 6), np.uint8)
    trusted[1:3, :4] = 1
    assert (results['trusted_map'] == trusted).all()


def test_margins_and_sizes_are_those_of_vfm_uda():
    golden = np.load(golden_file('foundation/vfmuda_small.npz'))
    given = golden['margin/image']
    height, width = given.shape[:2]
    side = int(0.03 * width)
    steps = Compose(
        [
            dict(
                type='MarkUntrusted',
                top=int(0.03 * height),
                bottom=int(0.25 * height),
                left=side,
                right=side,
            ),
            dict(
                type='RandomResize',
                scale=(10000, 64),
                ratio_range=(1.0, 1.0),
                keep_ratio=True,
                backend='pillow',
            ),
        ]
    )
    results = steps(dict(img=given))
    image = golden['margin/resized_image'].transpose(1, 2, 0)
    assert (results['img'] == image).all()
    ignored = golden['margin/resized_ignore_mask'] == 255
    assert ((results['trusted_map'] == 0) == ignored).all()
