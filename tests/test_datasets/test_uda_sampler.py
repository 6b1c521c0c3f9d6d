# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from itertools import islice

import pytest
from mmseg.registry import DATA_SAMPLERS

from mmseg_cag.datasets import uda as uda_sampler
from mmseg_cag.datasets.uda import UDADataset
from mmseg_cag.errors import UserError

DOMAINS = ('source', 'target')
LENGTHS = (7, 4)


@pytest.fixture
def build(monkeypatch):
    def sampler(rank=0, world=1, seed=3, lengths=LENGTHS, orders=None):
        monkeypatch.setattr(
            uda_sampler, 'get_dist_info', lambda: (rank, world)
        )
        dataset = object.__new__(UDADataset)
        dataset.domains = dict(zip(DOMAINS, map(range, lengths), strict=True))
        return DATA_SAMPLERS.build(
            dict(type='UDASampler', dataset=dataset, seed=seed, orders=orders)
        )

    return sampler


def joint_stream(build, world, count, **kwargs) -> list:
    """What all ranks draw, in the order of training."""
    ranks = [
        list(islice(build(rank, world, **kwargs), count // world))
        for rank in range(world)
    ]
    return [item for step in zip(*ranks, strict=True) for item in step]


@pytest.mark.parametrize('world', [1, 2, 3])
@pytest.mark.parametrize('lengths', [(7, 4), (3, 11), (5, 5), (1, 6)])
def test_each_image_once_before_any_twice(build, world, lengths):
    items = joint_stream(build, world, 66, lengths=lengths)
    for domain, length in zip(DOMAINS, lengths, strict=True):
        drawn = [indices[domain] for _, indices in items]
        for start in range(0, len(drawn) - length + 1, length):
            assert sorted(drawn[start : start + length]) == [*range(length)]


def test_ranks_share_one_stream_without_overlap(build):
    alone = list(islice(build(), 24))
    keys = [item[0] for item in alone]
    assert len(set(keys)) == len(keys)
    for world in (2, 3, 4):
        assert joint_stream(build, world, 24) == alone


@pytest.mark.parametrize('rank', [0, 1])
def test_the_stream_is_a_function_of_its_settings(build, rank):
    first = list(islice(build(rank, 2), 30))
    again = build(rank, 2)
    assert list(islice(again, 30)) == first
    assert list(islice(again, 30)) == first  # and of a second pass
    assert list(islice(build(rank, 2, seed=4), 30)) != first


def test_orders_differ_between_domains_seeds_and_rounds(build):
    items = list(islice(build(lengths=(50, 50)), 100))
    source, target = ([item[1][d] for item in items] for d in DOMAINS)
    assert source[:50] != target[:50]
    assert source[:50] != source[50:]
    other = list(islice(build(seed=4, lengths=(50, 50)), 50))
    assert [indices['source'] for _, indices in other] != source[:50]
    assert source[:50] != [*range(50)]


@pytest.mark.parametrize('skipped', [0, 1, 6, 7, 29])
def test_skip_equals_dropping(build, skipped):
    sampler = build(1, 2)
    expected = list(islice(sampler, skipped + 15))[skipped:]
    sampler.skip(skipped)
    assert list(islice(sampler, 15)) == expected


def test_without_a_seed_one_is_drawn_and_kept(build, monkeypatch):
    monkeypatch.setattr(uda_sampler, 'sync_random_seed', lambda: 3)
    assert list(islice(build(seed=None), 9)) == list(islice(build(), 9))


def test_other_data_sets_are_refused():
    with pytest.raises(TypeError, match='expected a UDADataset.* list') as e:
        DATA_SAMPLERS.build(dict(type='UDASampler', dataset=[1, 2]))
    assert '\n' not in str(e.value)


class Backwards:
    """An order of one's own."""

    def __init__(self, dataset, seed):
        self.length = len(dataset)

    def __getitem__(self, position):
        return -1 - position % self.length


def test_an_order_of_ones_own(build, monkeypatch):
    monkeypatch.setitem(DATA_SAMPLERS.module_dict, 'Backwards', Backwards)
    plain = list(islice(build(), 8))
    orders = dict(
        source=dict(type='ShuffledOrder'), target=dict(type='Backwards')
    )
    own = list(islice(build(orders=orders), 8))
    assert [i['target'] for _, i in own[:5]] == [-1, -2, -3, -4, -1]
    assert [i['source'] for _, i in own] == [i['source'] for _, i in plain]
    with pytest.raises(UserError, match='orders names goal, expected one of'):
        build(orders=dict(goal=dict(type='Backwards')))
