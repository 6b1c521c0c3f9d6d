# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_cag.datasets.transforms.random_resize_crop import (
    Span,
    nearest_window,
    resize_window,
)

SIZE = (263, 479)  # a quarter of GTA5's, height and width
CROP = (128, 224)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def windows(ratios: list[float]) -> list[tuple[Span, Span]]:
    """Windows at the corners and inside, of each ratio."""
    found = []
    for ratio in ratios:
        resized = [int(side * ratio + 0.5) for side in SIZE]
        for place in (0, 0.37, 0.5, 0.9, 1):
            starts = [
                int((new - crop) * place)
                for new, crop in zip(resized, CROP, strict=True)
            ]
            found.append(
                tuple(
                    Span(old, new, start, start + crop)
                    for old, new, start, crop in zip(
                        SIZE, resized, starts, CROP, strict=True
                    )
                )
            )
    return found


def whole(array: np.ndarray, window: tuple[Span, Span], filter) -> np.ndarray:
    """Pillow's whole frame, and then the window."""
    rows, columns = window
    size = (columns.resized, rows.resized)
    resized = np.asarray(Image.fromarray(array).resize(size, filter))
    return resized[rows.start : rows.stop, columns.start : columns.stop]


RATIOS = [0.5, 0.5749, 2 / 3, 0.75, 0.9, 1.0, 1.0013, 1.15, 1.25, 1.5, 1.724]


@pytest.mark.parametrize('ratio', RATIOS)
def test_the_image_is_that_of_the_whole_frame(ratio):
    image = noise(*SIZE, 3)
    for window in windows([ratio]):
        expected = whole(image, window, Image.Resampling.BILINEAR)
        given = resize_window(image, *window)
        assert given.shape == expected.shape and given.dtype == np.uint8
        difference = np.abs(given.astype(int) - expected)
        # Noise of full strength is the worst that an image can be.
        assert difference.max() <= 1
        assert np.mean(difference.max(-1) > 0) < 0.005


@pytest.mark.parametrize('ratio', RATIOS)
def test_labels_are_those_of_the_whole_frame(ratio):
    labels = noise(*SIZE)
    for window in windows([ratio]):
        rows, columns = window
        given = nearest_window(labels, *window)
        assert np.array_equal(
            given, whole(labels, window, Image.Resampling.NEAREST)
        )
        exact = cv2.resize(
            labels,
            (columns.resized, rows.resized),
            interpolation=cv2.INTER_NEAREST_EXACT,
        )[rows.start : rows.stop, columns.start : columns.stop]
        assert np.array_equal(given, exact)


def test_nearest_is_the_pixel_centre():
    span = Span(size=10, resized=4, start=1, stop=4)
    # Centres 1.5, 2.5, 3.5 of 4 are 3.75, 6.25, 8.75 of 10.
    assert span.nearest().tolist() == [3, 6, 8]


def test_only_the_part_around_the_window_is_read():
    image = noise(*SIZE, 3)
    rows, columns = windows([1.15])[1]
    down, across = rows.cut(), columns.cut()
    hidden = np.full_like(image, 255)
    hidden[down.source, across.source] = image[down.source, across.source]
    assert np.array_equal(
        resize_window(hidden, rows, columns),
        resize_window(image, rows, columns),
    )
    share = image[down.source, across.source].size / image.size
    assert share < 0.35
