# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_cag.errors import UserError


def pool(size: int = 3) -> torch.nn.Module:
    return MODELS.build(dict(type='ImagePool', size=size))


def test_it_gives_what_it_was_given_until_it_is_full():
    images, kept = torch.rand(8, 3, 4, 4), pool()
    assert torch.equal(kept(images[:3]), images[:3])
    seen = list(images[:3])
    for image in images[3:]:
        given = kept(image[None])[0]
        seen.append(image)
        assert any(torch.equal(given, one) for one in seen)
        assert len(kept.images) == 3


def test_one_that_was_loaded_draws_as_the_saved_one():
    images, one, two = torch.rand(40, 3, 4, 4), pool(), pool()
    one(images[:10])
    two.load_state_dict(one.state_dict())
    assert torch.equal(one(images[10:]), two(images[10:]))
    assert torch.equal(one.images, two.images)


def test_without_room_it_gives_back():
    images = torch.rand(2, 3, 4, 4)
    assert pool(0)(images) is images


def test_images_of_two_sizes():
    kept = pool()
    kept(torch.rand(1, 3, 4, 4))
    with pytest.raises(UserError, match=r'image of \(4, 8\) after'):
        kept(torch.rand(1, 3, 4, 8))
