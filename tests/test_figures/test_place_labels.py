# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
from figures.feature_figure import place_labels


def test_a_name_avoids_stars_and_earlier_names():
    assert place_labels(np.array([[0.0, 0.0]]), ['road']) == [(0, 1)]
    # A star above: the name goes below.
    places = np.array([[0.0, 0.0], [0.0, 0.1]])
    assert place_labels(places, ['road', 'sky']) == [(0, -1), (0, 1)]
    # Two long names side by side would run into each other, short ones not.
    places = np.array([[0.0, 0.0], [0.2, 0.0]])
    assert place_labels(places, ['traffic light', 'motorcycle']) == [
        (0, 1),
        (0, -1),
    ]
    assert place_labels(places, ['car', 'bus']) == [(0, 1), (0, 1)]
