# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Which pixels of a label survive a resize, in the published rule and mmseg's.

The published code samples the label at the centre of each new pixel.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mmseg.registry import TRANSFORMS
from PIL import Image

SIZES = [  # width and height before and after
    ((1914, 1052), (1280, 720)),
    ((2048, 1024), (1024, 512)),
    ((1280, 760), (2200, 1306)),
    ((64, 33), (47, 70)),
]


def centres(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the old pixel at each new one's centre, and whether it is one.

    The centre (i + 1/2) old / new may fall exactly between two old pixels;
    then rounding decides, in the published code as elsewhere.
    """
    pixel, rest = np.divmod((2 * np.arange(new) + 1) * old, 2 * new)
    return pixel, rest > 0


def blobs(size: tuple[int, int]) -> np.ndarray:
    """Draw a label of 19 classes, (H, W), with crooked borders."""
    rng = np.random.default_rng(0)
    noise = rng.random((size[1] // 24 + 1, size[0] // 24 + 1))
    smooth = cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth * 19, 0, 18).astype(np.uint8)


def resize(label: np.ndarray, size: tuple[int, int], **kwargs) -> np.ndarray:
    """Resize as a pipeline does, by mmseg's own transform."""
    step = dict(type='Resize', scale=size, keep_ratio=False, **kwargs)
    image = np.zeros((*label.shape, 3), np.uint8)
    sample = dict(img=image, gt_seg_map=label, seg_fields=['gt_seg_map'])
    return TRANSFORMS.build(step)(sample)['gt_seg_map']


@pytest.mark.parametrize(('before', 'after'), SIZES)
def test_the_pillow_backend_and_nearest_exact_keep_the_rule(before, after):
    label = blobs(before)
    (x, plain_x), (y, plain_y) = map(centres, before, after)
    found = resize(label, after, backend='pillow', interpolation='bicubic')
    wanted = label[y[plain_y]][:, x[plain_x]]
    assert np.array_equal(found[plain_y][:, plain_x], wanted)
    # And on the rest it is the published code's own resize.
    published = Image.fromarray(label).resize(after, Image.Resampling.NEAREST)
    assert np.array_equal(found, published)
    exact = cv2.resize(label, after, interpolation=cv2.INTER_NEAREST_EXACT)
    assert np.array_equal(exact, published)


@pytest.mark.parametrize(('before', 'after'), SIZES)
def test_mmsegs_default_moves_labels(before, after):
    """OpenCV's INTER_NEAREST samples at the top left corner of a pixel.

    Its label is up to half an old pixel off the image resized beside it.
    """
    label = blobs(before)
    found = resize(label, after)
    x, y = (np.arange(n) * o // n for o, n in zip(before, after, strict=True))
    assert (found == label[y][:, x]).mean() > 0.99
    published = Image.fromarray(label).resize(after, Image.Resampling.NEAREST)
    assert 0.01 < (found != published).mean() < 0.5
