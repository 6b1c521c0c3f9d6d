# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from mmseg_cag.workflows.pseudo_labels import class_quantiles as module
from mmseg_cag.workflows.pseudo_labels.class_quantiles import (
    PASSES,
    ClassQuantiles,
    class_quantiles,
)

CLASSES = 5


def sort_all(predictions, portion=0.5) -> list[float]:
    """Sort every pixel of a class, as published."""
    labels = np.concatenate([p[0].ravel() for p in predictions])
    confidences = np.concatenate([p[1].ravel() for p in predictions])
    values = []
    for k in range(CLASSES):
        ordered = sorted(confidences[labels == k].astype(np.float64))
        index = round(portion * len(ordered))  # halves to even
        index = min(index, len(ordered) - 1)
        values.append(ordered[index] if ordered else 0.0)
    return values


def images(rng, draw, count=7, size=(11, 13)) -> list:
    return [
        (
            rng.integers(0, CLASSES, size).astype(np.uint8),
            draw(size).astype(np.float32),
        )
        for _ in range(count)
    ]


TINY = np.finfo(np.float32).tiny
DRAWS = {
    'uniform': lambda rng, size: rng.uniform(1e-6, 1, size),
    'near one': lambda rng, size: 1 - rng.exponential(1e-6, size),
    'few values': lambda rng, size: rng.choice([0.25, 0.5, 0.9, 1.0], size),
    'all one': lambda rng, size: np.ones(size),
    'denormal': lambda rng, size: rng.integers(1, 9, size) * TINY / 16,
    'neighbours': lambda rng, size: (
        np.float32(0.7) + rng.integers(0, 9, size) * np.float32(2**-24)
    ),
    'just above one': lambda rng, size: 1 + rng.integers(0, 3, size) * 2e-7,
}


@pytest.mark.parametrize('draw', DRAWS)
@pytest.mark.parametrize('portion', [0.0, 0.3, 0.5, 1.0])
def test_equal_to_the_full_sort(draw, portion):
    rng = np.random.default_rng(0)
    predictions = images(rng, lambda size: DRAWS[draw](rng, size))
    values, sizes = class_quantiles(predictions, CLASSES, portion)
    assert values.astype(np.float64).tolist() == sort_all(predictions, portion)
    labels = np.concatenate([p[0].ravel() for p in predictions])
    assert sizes.tolist() == np.bincount(labels, minlength=CLASSES).tolist()


@pytest.mark.parametrize('pixels', range(1, 12))
def test_few_pixels_odd_and_even(pixels):
    rng = np.random.default_rng(pixels)
    labels = np.full((1, pixels), 3, np.uint8)
    confidences = rng.uniform(0, 1, (1, pixels)).astype(np.float32)
    predictions = [(labels, confidences)]
    values, sizes = class_quantiles(predictions, CLASSES)
    assert values.tolist() == sort_all(predictions)
    # Every other class is absent.
    assert sizes.tolist() == [0, 0, 0, pixels, 0]
    assert values[[0, 1, 2, 4]].tolist() == [0, 0, 0, 0]


def test_parts_are_merged_by_summing(monkeypatch):
    rng = np.random.default_rng(4)
    predictions = images(rng, lambda size: rng.uniform(0, 1, size))
    ranks = [ClassQuantiles(CLASSES) for _ in range(3)]
    for _ in range(PASSES):
        for index, (labels, confidences) in enumerate(predictions):
            ranks[index % 3].add(labels, confidences)
        total = sum(rank.counts for rank in ranks)
        monkeypatch.setattr(
            module,
            'all_reduce',
            lambda counts, total=total: counts.numpy().__setitem__(..., total),
        )
        for rank in ranks:
            rank.narrow()
    for rank in ranks:
        assert rank.values.tolist() == sort_all(predictions)


def peak_memory(count: int) -> int:
    """Go through that many images; returns the most bytes held."""

    class Simulated:
        def __iter__(self):
            rng = np.random.default_rng(0)
            for _ in range(count):
                labels = rng.integers(0, CLASSES, (8, 16), np.uint8)
                yield labels, rng.random((8, 16), np.float32)

    tracemalloc.start()
    class_quantiles(Simulated(), CLASSES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_is_flat():
    few, many = peak_memory(100), peak_memory(10_000)
    assert many < 1.01 * few
    # The counts, their running sums and what is compared with them.
    assert few < 6 * ClassQuantiles(CLASSES).counts.nbytes
