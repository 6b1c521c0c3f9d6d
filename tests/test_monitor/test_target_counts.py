# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch

from mmseg_cag.monitor.target_record import (
    count_target,
    gap_record,
    margin_record,
    sum_over_ranks,
    target_record,
)

K, SHAPE = 5, (2, 4, 6)
CLASSES = ['road', 'sky', 'car', 'bus', 'train']


def draw(*kinds: str) -> dict[str, torch.Tensor]:
    """Draw the maps of a step; the last class is never predicted."""
    scores = torch.randn(2, *SHAPE[:1], K, *SHAPE[1:])
    scores[:, :, -1] = -9
    labels = torch.randint(0, K, (2, *SHAPE))
    maps = {
        'student': scores[0],
        'teacher': scores[0] + 0.7 * scores[1],
        'distances': scores[1].abs(),
        'anchor': labels[0].where(torch.rand(SHAPE) < 0.6, 255),
        'probability': labels[1].where(torch.rand(SHAPE) < 0.3, 255),
    }
    return {kind: maps[kind] for kind in ('student', *kinds)}


def slow_record(maps: dict, label: str) -> dict:
    """Go through the pixels one by one."""
    pixels = list(torch.cartesian_prod(*map(torch.arange, SHAPE)).tolist())
    student = {
        (n, i, j): maps['student'][n, :, i, j].argmax().item()
        for n, i, j in pixels
    }
    teacher = {
        (n, i, j): maps['teacher'][n, :, i, j].argmax().item()
        for n, i, j in pixels
    }
    may = teacher
    if 'distances' in maps:
        may = {
            (n, i, j): maps['distances'][n, :, i, j].argmin().item()
            for n, i, j in pixels
        }
    gets = {p: maps[label][tuple(p)].item() for p in student}
    active = [p for p in gets if gets[p] != 255]
    agree = sum(student[p] == teacher[p] for p in student) / len(student)
    chance = sum(
        sum(v == k for v in student.values())
        * sum(v == k for v in teacher.values())
        for k in range(K)
    )
    chance /= len(student) ** 2

    def shares(values: list[int]) -> dict:
        return {
            name: sum(v == k for v in values) / len(values)
            for k, name in enumerate(CLASSES)
        }

    candidates = {k: sum(v == k for v in may.values()) for k in range(K)}
    return {
        'predicted': shares(list(student.values())),
        'active': len(active) / len(student),
        'agreement': agree,
        'kappa': (agree - chance) / (1 - chance),
        'followed': sum(student[p] == gets[p] for p in active) / len(active),
        'coverage': {
            name: sum(v == k for v in gets.values()) / candidates[k]
            for k, name in enumerate(CLASSES)
            if candidates[k]
        },
        'pseudo': shares([gets[p] for p in active]),
    }


def close(first: dict, second: dict) -> bool:
    if first.keys() != second.keys():
        return False
    return all(
        close(first[k], second[k])
        if isinstance(first[k], dict)
        else abs(first[k] - second[k]) < 1e-5
        for k in first
    )


def test_shares_by_anchors_against_a_loop():
    maps = draw('teacher', 'distances', 'anchor', 'probability')
    record = target_record(count_target(maps, K, None), CLASSES)
    assert close(record, slow_record(maps, 'anchor'))


def test_shares_by_probability_against_a_loop():
    maps = draw('teacher', 'probability')
    record = target_record(count_target(maps, K, None), CLASSES)
    assert close(record, slow_record(maps, 'probability'))
    # The class that no pixel may get has no coverage.
    assert 'train' not in record['coverage']


def test_without_a_teacher_there_is_what_is_predicted():
    record = target_record(count_target(draw(), K, None), CLASSES)
    assert record.keys() == {'predicted'}
    assert sum(record['predicted'].values()) == torch.ones(1)


def test_no_active_pixel():
    maps = draw('teacher', 'distances', 'anchor')
    maps['anchor'].fill_(255)
    record = target_record(count_target(maps, K, None), CLASSES)
    assert record['active'] == 0 and record['pseudo'] == {}
    assert 'followed' not in record


def test_agreement_beyond_chance():
    maps = draw('teacher', 'probability')
    maps['teacher'] = maps['student']
    record = target_record(count_target(maps, K, None), CLASSES)
    assert record['agreement'] == record['kappa'] == 1
    # A student that knows one class agrees by chance alone ...
    maps['student'] = torch.zeros_like(maps['student'])
    maps['student'][:, 0] = 1
    record = target_record(count_target(maps, K, None), CLASSES)
    assert record['agreement'] > 0.1 and record['kappa'] == 0
    # ... and nothing can be said where both know no other.
    maps['teacher'] = maps['student']
    record = target_record(count_target(maps, K, None), CLASSES)
    assert record['agreement'] == 1 and 'kappa' not in record


def test_gaps_are_those_of_the_distances():
    maps = draw('teacher', 'distances', 'anchor')
    edges = torch.linspace(0, 4, 9)
    gaps = count_target(maps, K, edges)['gaps']
    record = gap_record(gaps, edges, CLASSES)
    assert len(record['edges']) == 9 and list(record['counts']) == CLASSES
    two = maps['distances'].sort(1).values[:, :2]
    gap = (two[:, 1] - two[:, 0]).flatten()
    own = maps['distances'].argmin(1).flatten()
    for k, name in enumerate(CLASSES):
        expected = gap[own == k].histc(8, 0, 4).tolist()
        assert record['counts'][name] == expected


def test_sums_keep_names_and_shapes():
    maps = draw('teacher', 'distances', 'anchor')
    counts = count_target(maps, K, torch.linspace(0, 4, 9))
    summed = sum_over_ranks(counts)
    assert summed.keys() == counts.keys()
    assert all(torch.equal(summed[name], counts[name]) for name in counts)


def test_a_margin_is_a_number_or_one_a_class():
    two = ['a', 'b']
    assert margin_record(torch.tensor([2.0, 2.0]), two) == 2
    assert margin_record(torch.tensor([2.0, 3.0]), two) == {'a': 2, 'b': 3}
    infinite = float('inf')
    assert margin_record(torch.tensor([infinite, infinite]), two) is None
    one = margin_record(torch.tensor([infinite, 1.0]), two)
    assert one == {'a': None, 'b': 1}


@pytest.mark.parametrize('kinds', [(), ('teacher', 'distances', 'anchor')])
def test_padding_is_not_counted(kinds):
    maps, edges = draw(*kinds), torch.linspace(0, 4, 9)
    # At the size of the images, twice that of the maps.
    padding = torch.zeros(SHAPE[0], 2 * SHAPE[1], 2 * SHAPE[2]).bool()
    padding[:, 4:] = True
    found = count_target({**maps, 'padding': padding}, K, edges)
    cut = {name: own[..., :2, :] for name, own in maps.items()}
    for name, count in count_target(cut, K, edges).items():
        assert torch.equal(found[name], count), name
