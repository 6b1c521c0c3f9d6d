# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest

from mmseg_cag.datasets.published import IdMap, ranges
from mmseg_cag.errors import UserError


def slow(ids, train_ids, ignore, label_map=None):
    out = np.full(ids.shape, ignore, np.uint8)
    for index, raw in np.ndenumerate(ids):
        label = train_ids.get(int(raw))
        if label is not None and label_map is not None:
            label = label_map[label] if label_map[label] != 255 else None
        if label is not None:
            out[index] = label
    return out


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('ignore', [255, 254, 100])
@pytest.mark.parametrize('label_map', [None, {0: 1, 1: 255, 2: 0}])
@pytest.mark.parametrize('shape', [(11, 13), (1, 1), (5, 1)])
def test_it_equals_a_dictionary(dtype, ignore, label_map, shape):
    train_ids, void = {7: 0, 3: 1, 250: 2, 8: 0}, {0, 1, 255}
    known = np.array([*train_ids, *void], dtype)
    ids = np.random.default_rng(0).choice(known, shape)
    found = IdMap(train_ids, void, ignore)(ids, 'file', label_map)
    assert found.dtype == np.uint8
    assert np.array_equal(found, slow(ids, train_ids, ignore, label_map))


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_each_value_that_is_not_known_is_refused(dtype):
    id_map = IdMap({1: 0, 2: 1}, {0})
    for value in range(3, np.iinfo(dtype).max, 13):
        ids = np.full((2, 2), 1, dtype)
        ids[1, 1] = value
        with pytest.raises(UserError, match=rf'file: .* {value}, .* 0-2$'):
            id_map(ids, 'file')


def test_many_unknown_ids_make_one_line():
    ids = np.arange(20, dtype=np.uint8)[None]
    with pytest.raises(UserError) as caught:
        IdMap({0: 0}, {1})(ids, 'file')
    assert '2, 3, 4, 5, 6, 7, 8, 9 and 10 more' in str(caught.value)


def test_the_refusal_survives_a_choice_of_classes():
    with pytest.raises(UserError, match='id.s. 9'):
        IdMap({0: 0, 1: 1}, {2})(
            np.array([[9]], np.uint8), 'f', {0: 0, 1: 255}
        )


def test_ranges():
    assert ranges([0, 1, 2, 5, 7, 8]) == '0-2, 5, 7-8'
