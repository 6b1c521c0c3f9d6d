# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from mmseg_cag.datasets.transforms.load_labels_by_name import match_classes

CLASSES = ['road', 'car', 'train']


def test_by_name_whatever_the_order_of_the_files():
    names = ['train', 'tree', 'car', 'road']
    assert match_classes(CLASSES, names, {}) == dict(road=0, car=1, train=2)


def test_a_class_joins_another_and_keeps_company():
    merge = dict(van='car', tram='train')
    found = match_classes(CLASSES, ['van', 'tram', 'car', 'road'], merge)
    assert found == dict(van=1, tram=2, car=1, road=0)


def test_a_merged_class_leaves_its_own_name():
    merge = dict(train='car')
    with pytest.raises(
        ValueError, match="'train' is not a class of the files"
    ):
        match_classes(CLASSES, CLASSES, merge)
    found = match_classes(CLASSES, CLASSES, merge, absent=['train'])
    assert found == dict(road=0, car=1, train=1)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(names=['road', 'car']), "'train' is not .* road, car;"),
        (dict(merge=dict(van='car')), "merge: 'van' is not among ids"),
        (dict(merge=dict(car='auto')), "merge: 'auto' is not among classes"),
        (dict(absent=['tram']), "absent: 'tram' is not among classes"),
        (dict(classes=['road', 'car', 'car']), "classes: 'car' is listed"),
    ],
)
def test_what_does_not_match_is_named(change, message):
    good = dict(classes=CLASSES, names=CLASSES, merge={}, absent=[])
    with pytest.raises(ValueError, match=message) as caught:
        match_classes(**{**good, **change})
    assert '\n' not in str(caught.value)


def test_a_class_may_be_absent_only_by_name():
    names = ['road', 'car']
    found = match_classes(CLASSES, names, {}, absent=['train'])
    assert found == dict(road=0, car=1)
