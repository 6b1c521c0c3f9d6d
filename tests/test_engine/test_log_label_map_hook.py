# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from mmseg.registry import DATASETS, HOOKS

from mmseg_cag.engine.checks.log_label_map_hook import (
    check_names,
    describe_labels,
)
from tests import tiny
from tests.test_datasets.test_load_labels_by_name import (
    CLASSES,
    COLOURS,
    IDS,
    build,
)


def dataset(step=None, classes=CLASSES, label_map=None) -> SimpleNamespace:
    metainfo = dict(classes=classes, label_map=label_map)
    pipeline = SimpleNamespace(transforms=[object(), step])
    return SimpleNamespace(metainfo=metainfo, pipeline=pipeline)


def test_every_class_with_its_ids():
    step = build(IDS, merge=dict(lorry='car'), void_ids=[1])
    assert describe_labels(dataset(), step) == (
        'road = id 65535; car = id 7, 9; sky = id 300; ignored = id 0, 1'
    )


def test_colours_are_shown_as_such():
    step = build(COLOURS)
    assert 'sky = colour (70, 130, 180);' in describe_labels(dataset(), step)


def test_a_class_that_the_files_lack():
    step = build({k: v for k, v in IDS.items() if k != 'sky'}, absent=['sky'])
    assert 'sky = none' in describe_labels(dataset(), step)


def test_a_choice_of_classes_is_applied():
    step = SimpleNamespace(train_ids={5: 0, 6: 1, 7: 2}, void_ids={0})
    chosen = dataset(classes=['sky', 'road'], label_map={0: 1, 1: 255, 2: 0})
    assert describe_labels(chosen, step) == (
        'sky = id 7; road = id 5; ignored = id 0, 6'
    )


def test_other_classes_than_the_data_sets_are_refused():
    step = build(IDS)
    check_names(dataset(), step)
    with pytest.raises(ValueError, match="LoadLabelsByName: classes=.*'sky'"):
        check_names(dataset(classes=['car', 'road', 'sky']), step)
    # A step that does not know its classes is not judged.
    check_names(dataset(), SimpleNamespace(train_ids={}, void_ids=set()))


def test_each_part_of_a_combined_data_set_is_stated(caplog):
    logger = logging.getLogger('label_map')
    logger.setLevel(logging.INFO)
    one, same, other = (dataset(build(ids)) for ids in (IDS, IDS, COLOURS))
    parts = [SimpleNamespace(dataset=one), same]
    for datasets in (parts, [*parts, other]):
        whole = SimpleNamespace(datasets=datasets)
        loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=whole))
        runner = SimpleNamespace(logger=logger, test_loop=loop)
        HOOKS.build(dict(type='LogLabelMapHook')).before_test(runner)
    uses = [line.split(': road')[0] for line in caplog.messages]
    assert uses == [
        'Labels of test',
        'Labels of test.datasets.0.dataset, test.datasets.1',
        'Labels of test.datasets.2',
    ]
    other.metainfo['classes'] = ['car']
    with pytest.raises(ValueError, match='LoadLabelsByName: classes='):
        HOOKS.build(dict(type='LogLabelMapHook')).before_test(runner)


@pytest.mark.parametrize('moment', ['before_train', 'before_test'])
def test_what_is_read_in_a_run_is_stated(moment, caplog):
    logger = logging.getLogger('label_map')
    logger.setLevel(logging.INFO)
    loader = SimpleNamespace(dataset=dataset(build(IDS)))
    loop = SimpleNamespace(dataloader=loader)
    runner = SimpleNamespace(
        logger=logger, train_dataloader=loader, val_loop=loop, test_loop=loop
    )
    getattr(HOOKS.build(dict(type='LogLabelMapHook')), moment)(runner)
    uses = [line.split(':')[0] for line in caplog.messages]
    if moment == 'before_train':
        assert uses == ['Labels of training', 'Labels of validation']
    else:
        assert uses == ['Labels of test']


def test_the_labels_of_the_source_are_those_of_a_pair(tmp_path, caplog):
    tiny.write_towns(tmp_path)
    pair = DATASETS.build(tiny.uda(tmp_path))
    step = SimpleNamespace(train_ids={7: 0}, void_ids=set())
    pair.domains['source'].pipeline.transforms.append(step)
    logger = logging.getLogger('label_map')
    logger.setLevel(logging.INFO)
    runner = SimpleNamespace(
        logger=logger,
        train_dataloader=SimpleNamespace(dataset=pair),
        val_loop=None,
    )
    HOOKS.build(dict(type='LogLabelMapHook')).before_train(runner)
    assert 'road = id 7' in caplog.messages[-1]
