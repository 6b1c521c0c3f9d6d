# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Each fault, planted in a good minitown, is found by its name."""

from __future__ import annotations

import pytest

from tests import planted_faults
from tests.doctor import check, gta_config, names_of, synthia_config

GTA_ERRORS = (
    planted_faults.truncated_image,
    planted_faults.truncated_label,
    planted_faults.changed_inside,
    planted_faults.changed_inside_a_label,
    planted_faults.no_image_at_all,
    planted_faults.empty_file,
    planted_faults.label_of_another_size,
    planted_faults.missing_label,
    planted_faults.extra_image,
    planted_faults.unknown_ids,
    planted_faults.train_ids_taken_for_label_ids,
    planted_faults.label_ids_taken_for_train_ids,
    planted_faults.void_alone,
    planted_faults.colours_for_ids,
    planted_faults.empty_split,
    planted_faults.no_folder,
    planted_faults.no_label_folder,
    planted_faults.wrong_suffix,
    planted_faults.wrong_label_suffix,
    planted_faults.image_link_to_nowhere,
    planted_faults.label_link_to_nowhere,
    planted_faults.swapped_roots,
    planted_faults.swapped_folders,
    planted_faults.game_as_target,
    planted_faults.one_domain_twice,
    planted_faults.target_with_labels,
    planted_faults.other_class_names,
    planted_faults.classes_in_another_order,
    planted_faults.other_class_count,
    planted_faults.unknown_setting,
    planted_faults.missing_domain,
    planted_faults.no_list_of_names,
    planted_faults.name_without_image,
)
GTA_WARNINGS = (
    planted_faults.extra_label,
    planted_faults.class_that_vanished,
    planted_faults.images_of_two_suffixes,
    planted_faults.anchors_of_other_images,
    planted_faults.evaluation_on_training_images,
    planted_faults.images_lost,
    planted_faults.drawing_interrupted,
)
SYNTHIA_ERRORS = (
    planted_faults.synthia_of_8_bits,
    planted_faults.synthia_of_one_8_bit_channel,
    planted_faults.synthia_colours,
    planted_faults.synthia_sequence,
)
CASES = [
    *((fault, gta_config, 2) for fault in GTA_ERRORS),
    *((fault, gta_config, 1) for fault in GTA_WARNINGS),
    *((fault, synthia_config, 2) for fault in SYNTHIA_ERRORS),
]


@pytest.mark.parametrize('config', [gta_config, synthia_config])
def test_a_good_one_is_silent(town, config):
    report = check(config(town))
    assert report.exit_code == 0
    assert names_of(report) == {}
    assert [part.decoded for part in report.parts][1:] == [4, 3]


@pytest.mark.parametrize(
    ('fault', 'config', 'code'), CASES, ids=lambda c: getattr(c, '__name__', c)
)
def test_a_planted_fault_is_found_by_name(town, fault, config, code):
    cfg = config(town)
    name, where = fault(town, cfg)
    report = check(cfg)
    found = names_of(report)
    assert any(where in place for place in found.get(name, ())), found
    assert report.exit_code == code


def test_one_fault_is_one_finding(town):
    cfg = gta_config(town)
    for fault in (
        planted_faults.unknown_ids,
        planted_faults.changed_inside,
        planted_faults.images_of_two_suffixes,
    ):
        fault(town, cfg)
    assert {name: len(at) for name, at in names_of(check(cfg)).items()} == {
        'unknown ids': 1,
        'unreadable file': 1,
        'image not read': 1,
    }


def test_swapped_domains_name_their_data_sets(town):
    cfg = gta_config(town)
    planted_faults.swapped_roots(town, cfg)
    problems = [
        f.problem
        for f in check(cfg).all_findings
        if f.name == 'swapped domains'
    ]
    assert any('dataset.domains.source (GTADataset)' in p for p in problems)


@pytest.mark.parametrize('share', [0.2, 0.99])  # in the header, beyond it
def test_a_cut_label_is_named_itself(town, share):
    path = town / 'gta/labels/00002.png'
    planted_faults.cut(path, share)
    [finding] = [
        f for f in check(gta_config(town)).all_findings if f.kind.level == 2
    ]
    assert finding.where == str(path)
    assert 'the label file itself is truncated' in finding.problem
    assert 'images/' not in finding.problem
