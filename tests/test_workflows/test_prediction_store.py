# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest

from mmseg_cag.workflows.pseudo_labels.select_confident import PredictionStore


def test_what_is_written_is_read(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 19, (5, 7)).astype(np.uint8)
    confidences = rng.random((5, 7), np.float32)
    store = PredictionStore(tmp_path / 'kept', cap=1.0)
    assert not store.has('bern/1.png')
    store.write('bern/1.png', labels, confidences)
    assert store.has('bern/1.png')
    read = store.read('bern/1.png')
    assert np.array_equal(read[0], labels) and read[0].dtype == np.uint8
    assert np.array_equal(read[1], confidences)
    assert read[1].dtype == np.float32


@pytest.mark.parametrize('cap', [0.9, 0.5, 1.0])
def test_the_cap_moves_nothing_over_it_or_under_it(tmp_path, cap):
    near = np.float32(cap)
    below = np.nextafter(near, np.float32(0))
    confidences = np.array(
        [[0.1, below, near, np.nextafter(near, np.float32(2)), 1]], np.float32
    )
    labels = np.zeros_like(confidences, np.uint8)
    store = PredictionStore(tmp_path, cap)
    store.write('x', labels, confidences)
    kept = store.read('x')[1].astype(np.float64)
    assert ((kept >= cap) == (confidences.astype(np.float64) >= cap)).all()
    assert np.array_equal(
        np.minimum(kept, cap), np.minimum(confidences.astype(np.float64), cap)
    )


def test_a_draft_is_no_prediction(tmp_path):
    store = PredictionStore(tmp_path, 0.9)
    (tmp_path / 'x.npz.part').write_bytes(b'half')
    assert not store.has('x')
