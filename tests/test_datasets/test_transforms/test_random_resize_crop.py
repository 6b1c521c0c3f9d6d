# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

SIZE = (60, 109)  # height and width
SCALE, RATIOS, CROP = (126, 126), (0.5, 1.5), (29, 51)


def build(**kwargs):
    settings = dict(scale=SCALE, ratio_range=RATIOS, crop_size=CROP)
    return TRANSFORMS.build(
        dict(type='RandomResizeCrop', **{**settings, **kwargs})
    )


def stock(crop=CROP, cat_max_ratio=1.0, frame_size=None):
    """mmseg's steps, on Pillow."""
    steps = [
        dict(
            type='RandomResize',
            scale=SCALE,
            ratio_range=RATIOS,
            keep_ratio=True,
            backend='pillow',
        ),
        dict(type='RandomCrop', crop_size=crop, cat_max_ratio=cat_max_ratio),
    ]
    if frame_size:
        step = dict(type='Resize', scale=frame_size, backend='pillow')
        steps.insert(0, step)

    built = [TRANSFORMS.build(step) for step in steps]

    def run(results):
        for step in built:
            results = step(results)
        return results

    return run


def sample(size=SIZE, labelled=True) -> dict:
    rng = np.random.default_rng(0)
    results = dict(
        img=rng.integers(0, 256, (*size, 3), np.uint8),
        img_shape=size,
        img_path='a.png',
        seg_map_path='a_label.png',
        seg_fields=[],
    )
    if labelled:
        results['gt_seg_map'] = rng.integers(0, 3, size, np.uint8)
        results['gt_seg_map'][:, : size[1] // 2] = 255
        results['gt_seg_map'][: size[0] // 2, 60:] = 1
        results['seg_fields'].append('gt_seg_map')
    return results


def draw(transform, seed: int, **kwargs) -> dict:
    np.random.seed(seed)
    return transform(sample(**kwargs))


def assert_alike(given: dict, expected: dict) -> None:
    assert given['img'].shape == expected['img'].shape
    difference = np.abs(given['img'].astype(int) - expected['img'])
    # A row of pixels that lie half between two may be rounded otherwise.
    assert difference.max() <= 1 and np.mean(difference > 0) < 1 / CROP[0]
    if 'gt_seg_map' in expected:
        assert np.array_equal(given['gt_seg_map'], expected['gt_seg_map'])
    for key in ('img_shape', 'scale', 'scale_factor', 'keep_ratio'):
        assert given[key] == expected[key], key


@pytest.mark.parametrize('labelled', [True, False])
def test_the_same_seed_gives_what_mmseg_gives(labelled):
    ours, theirs = build(), stock()
    for seed in range(25):
        given = draw(ours, seed, labelled=labelled)
        assert given['img'].shape == (*CROP, 3)
        assert ('gt_seg_map' in given) == labelled
        assert_alike(given, draw(theirs, seed, labelled=labelled))
        assert np.random.random() == draw_next(theirs, seed, labelled)


def draw_next(transform, seed: int, labelled: bool) -> float:
    """The number that follows those that the transform drew."""
    draw(transform, seed, labelled=labelled)
    return np.random.random()


def test_a_frame_below_the_crop_is_kept_as_in_mmseg():
    crop = (40, 100)  # of 63 x 63 to 189 x 104 pixels
    ours, theirs = build(crop_size=crop), stock(crop)
    shapes = set()
    for seed in range(25):
        given = draw(ours, seed)
        assert_alike(given, draw(theirs, seed))
        shapes.add(given['img_shape'])
    assert crop in shapes and len(shapes) > 2


def test_windows_of_one_class_are_drawn_again():
    ours, theirs = build(cat_max_ratio=0.75), stock(cat_max_ratio=0.75)
    plain, changed = build(), 0
    for seed in range(25):
        given = draw(ours, seed)
        assert_alike(given, draw(theirs, seed))
        first = draw(plain, seed)
        changed += not np.array_equal(first['img'], given['img'])
    assert 0 < changed < 25
    assert np.array_equal(  # without labels there is nothing to look at
        draw(ours, 0, labelled=False)['img'],
        draw(plain, 0, labelled=False)['img'],
    )


def columns(size: tuple[int, int]) -> dict:
    """A sample whose labels are the numbers of their columns."""
    results = sample(size)
    results['gt_seg_map'] = np.indices(size)[1].astype(np.uint8)
    return results


def test_frame_size_stands_for_a_resize_before():
    frame_size = SIZE[::-1]
    ours, theirs = build(frame_size=frame_size), stock(frame_size=frame_size)
    for seed in range(5):
        assert_alike(draw(ours, seed), draw(stock(), seed))
    # A frame of another size ends in the same size, resized once.
    for seed in range(15):
        np.random.seed(seed)
        given = ours(columns((64, 113)))
        np.random.seed(seed)
        expected = theirs(columns((64, 113)))
        assert given['img'].shape == expected['img'].shape
        difference = given['gt_seg_map'].astype(int) - expected['gt_seg_map']
        assert np.abs(difference).max() <= 1


def test_a_window_is_cut_from_the_right_place():
    ramp = columns(SIZE)
    ramp['img'] = np.dstack([ramp['gt_seg_map']] * 3)
    np.random.seed(3)
    given = build()(ramp)
    # Image and labels show the same columns.
    difference = given['img'][..., 1].astype(int) - given['gt_seg_map']
    assert np.abs(difference).max() <= 1


def test_a_label_of_another_size_is_named():
    results = sample()
    results['gt_seg_map'] = results['gt_seg_map'][:-1]
    with pytest.raises(ValueError, match=r'a_label\.png: expected .*60, 109'):
        build()(results)


@pytest.mark.parametrize(
    'wrong',
    [dict(ratio_range=(0.0, 1.0)), dict(ratio_range=(2, 1))]
    + [dict(crop_size=(0, 4))],
)
def test_wrong_settings(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))) as caught:
        build(**wrong)
    assert '\n' not in str(caught.value)
