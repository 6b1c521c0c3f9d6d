# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from mmseg_cag.datasets.transforms.random_resize_crop import (
    RandomResizeCrop,
    nearest_window,
    resize_window,
)

from .frames import FrameSet


def compare_windows(
    transform: RandomResizeCrop, frames: FrameSet, draws: int
) -> dict[str, float]:
    """Compare windows with crops of Pillow's whole frames.

    Args:
        transform: Samples the windows.
        frames: Images and labels.
        draws: Windows to compare.

    Returns:
        Median milliseconds of ``whole`` and ``window``, image and label
        together; per cent of pixels that differ in any channel, on average
        and in the worst window, the largest difference in grey levels, and
        per cent of label pixels that differ.
    """
    np.random.seed(0)
    found = [_compare(transform, frames.sample(k)) for k in range(draws)]
    times = np.median([pair for pair, _, _ in found], axis=0)
    images = np.array([difference for _, difference, _ in found])
    shares = 100 * (images.max(-1) > 0).mean((1, 2))
    return dict(
        whole=float(times[0]),
        window=float(times[1]),
        image_percent=float(shares.mean()),
        image_percent_worst=float(shares.max()),
        above_one_ppm=float(1e6 * (images.max(-1) > 1).mean()),
        label_percent=float(np.mean([share for _, _, share in found])),
    )


def _compare(
    transform: RandomResizeCrop, sample: dict
) -> tuple[tuple[float, float], np.ndarray, float]:
    """Compare one window.

    Returns:
        Milliseconds of whole and window, differences in grey levels (h, w, 3)
        and per cent of labels that differ.
    """
    with Image.open(sample['img_path']) as image:
        image.load()
    with Image.open(sample['seg_map_path']) as labels:
        labels.load()
    pixels, ids = np.asarray(image), np.asarray(labels)
    _, rows, columns = transform.draw({'img': pixels, 'gt_seg_map': ids})
    size = (columns.resized, rows.resized)
    whole, slow = _timed(
        lambda: (
            np.asarray(image.resize(size, Image.Resampling.BILINEAR)),
            np.asarray(labels.resize(size, Image.Resampling.NEAREST)),
        )
    )
    part, fast = _timed(
        lambda: (
            resize_window(pixels, rows, columns),
            nearest_window(ids, rows, columns),
        )
    )
    cut = np.s_[rows.start : rows.stop, columns.start : columns.stop]
    difference = np.abs(whole[0][cut].astype(np.int16) - part[0])
    share = 100 * float(np.mean(whole[1][cut] != part[1]))
    return (slow, fast), difference.astype(np.uint8), share


def _timed(work: Callable[[], tuple]) -> tuple[tuple, float]:
    """Call a function; returns the result and CPU milliseconds."""
    start = time.process_time()
    result = work()
    return result, 1e3 * (time.process_time() - start)
