# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_cag.errors import UserError
from mmseg_cag.models.translation import image_pool

SIZE = 4


def make(size: int = SIZE):
    return MODELS.build(dict(type='ImagePool', size=size))


def numbered(start: int, count: int = 2) -> torch.Tensor:
    """Images of which each is a number."""
    numbers = torch.arange(start, start + count, dtype=torch.float32)
    return numbers.view(-1, 1, 1, 1).expand(-1, 3, 5, 6)


def numbers(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].int().tolist()


def test_until_it_is_full_images_are_kept_and_given_back():
    pool = make()
    for start in (0, 2):
        assert numbers(pool(numbered(start))) == [start, start + 1]
    assert numbers(pool.images) == [0, 1, 2, 3]


def test_then_half_are_exchanged_and_none_is_lost():
    pool = make()
    given = [numbers(pool(numbered(2 * step))) for step in range(200)]
    given = [n for pair in given for n in pair]
    old = sum(n != i for i, n in enumerate(given))
    assert 160 < old < 240
    # An image is given back at once or kept; it is never given twice later.
    assert len(pool.images) == SIZE
    later = [n for i, n in enumerate(given) if n != i]
    assert max(later.count(n) for n in set(later)) <= 2
    # A place is as good as any other: few stay for long.
    assert min(numbers(pool.images)) > 300


def test_of_size_zero_it_passes_images_on():
    pool = make(0)
    images = numbered(3)
    assert pool(images) is images


def test_a_loaded_pool_goes_on_as_the_saved_one():
    pool = make()
    for step in range(5):
        pool(numbered(2 * step))
    state = copy.deepcopy(pool.state_dict())
    torch.manual_seed(1)
    twin = make()
    twin.load_state_dict(state)
    for step in range(5, 20):
        images = numbered(2 * step)
        assert torch.equal(pool(images), twin(images))
    assert torch.equal(pool.images, twin.images)


def test_two_ranks_are_one_pool(monkeypatch):
    ranks = [make() for _ in range(2)]
    ranks[1].load_state_dict(ranks[0].state_dict())
    one = copy.deepcopy(ranks[0])
    for step in range(20):
        parts = [numbered(4 * step), numbered(4 * step + 2)]
        monkeypatch.setattr(image_pool, 'all_gather', lambda _, p=parts: p)
        given = []
        for rank, pool in enumerate(ranks):
            monkeypatch.setattr(image_pool, 'get_rank', lambda r=rank: r)
            given.append(pool(parts[rank]))
        whole = torch.cat(parts)
        monkeypatch.setattr(image_pool, 'all_gather', lambda _, w=whole: [w])
        monkeypatch.setattr(image_pool, 'get_rank', lambda: 0)
        assert torch.equal(torch.cat(given), one(whole))
    assert torch.equal(ranks[0].images, ranks[1].images)


def test_images_of_another_size_are_named():
    pool = make()
    pool(numbered(0))
    with pytest.raises(UserError, match=r'an image of \(4, 4\) after .*5, 6'):
        pool(torch.zeros(2, 3, 4, 4))
