# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Views of images against the same changes written out for one pixel."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch

from mmseg_cag.models.colour_views import (
    VIEWS,
    View,
    ViewDraws,
    change_colours,
    draw_view,
    view_images,
)
from mmseg_cag.models.strong_augmentation import blur

PLAIN = ViewDraws(1.0, 1.0, 1.0, 0.0, [], False, 0.0)
LUMA = np.array([0.2989, 0.587, 0.114])


def image(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(seed).random((1, 3, 4, 5), np.float32)
    )


def slow(pixels: np.ndarray, draws: ViewDraws) -> np.ndarray:
    """Change pixels (P, 3), one after the other."""
    for number in draws.order:
        if number == 0:
            pixels = np.clip(draws.brightness * pixels, 0, 1)
        if number == 1:
            mean = (pixels @ LUMA).mean()
            share = draws.contrast
            pixels = np.clip(share * pixels + (1 - share) * mean, 0, 1)
        if number == 2:
            grey = (pixels @ LUMA)[:, None]
            share = draws.saturation
            pixels = np.clip(share * pixels + (1 - share) * grey, 0, 1)
        if number == 3:
            turned = []
            for pixel in pixels:
                h, s, v = colorsys.rgb_to_hsv(*pixel)
                turned.append(colorsys.hsv_to_rgb((h + draws.hue) % 1, s, v))
            pixels = np.array(turned)
    if draws.grey:
        pixels = np.repeat((pixels @ LUMA)[:, None], 3, 1)
    return pixels


@pytest.mark.parametrize('grey', [False, True])
@pytest.mark.parametrize('order', [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_colours_change_as_written_out(order, grey):
    draws = ViewDraws(1.3, 0.6, 1.4, -0.15, order, grey, 0.0)
    given = image()
    pixels = given[0].flatten(1).T.double().numpy()
    expected = torch.from_numpy(slow(pixels, draws)).T.view(1, 3, 4, 5)
    found = change_colours(given, draws)
    assert torch.allclose(found.double(), expected, atol=1e-4)


def test_what_is_not_drawn_stays():
    given = image()
    assert change_colours(given, PLAIN) is given


def test_a_wide_blur_reaches_as_far_as_its_sigma():
    given = torch.zeros(1, 1, 1, 601)
    given[..., 300] = 1
    found = blur(given, 3.0)[0, 0, 0]
    place = torch.arange(601) - 300.0
    expected = torch.exp(-place.square() / 18)
    assert torch.allclose(found, expected / expected.sum(), atol=1e-7)


@pytest.mark.parametrize('kind', VIEWS)
def test_draws_are_within_their_view(kind):
    view = VIEWS[kind]
    generator = torch.Generator().manual_seed(0)
    draws = [draw_view(view, generator) for _ in range(500)]
    for name in ('brightness', 'contrast', 'saturation'):
        values = [getattr(own, name) for own in draws]
        most = getattr(view, name)
        assert 1 - most <= min(values) < 1 - 0.9 * most
        assert 1 + 0.9 * most < max(values) <= 1 + most
    assert max(abs(own.hue) for own in draws) <= view.hue
    for share, found in (
        (view.jitter, [bool(own.order) for own in draws]),
        (view.grey, [own.grey for own in draws]),
        (view.blur, [own.sigma > 0 for own in draws]),
    ):
        assert np.mean(found) == pytest.approx(share, abs=0.07)
    assert max(own.sigma for own in draws) <= view.sigma


def test_each_image_has_draws_of_its_own():
    class Normaliser:
        mean = torch.full((3, 1, 1), 100.0)
        std = torch.full((3, 1, 1), 50.0)

    grey = image() * 255
    images = ((grey - Normaliser.mean) / Normaliser.std).repeat(2, 1, 1, 1)
    generator = torch.Generator().manual_seed(1)
    seen = view_images(images, 'weak', generator, Normaliser)
    assert not torch.equal(seen[0], seen[1])
    levels = seen * Normaliser.std + Normaliser.mean
    assert levels.min() >= -1e-3 and levels.max() <= 255 + 1e-3
    assert View(*VIEWS['weak']) == VIEWS['weak']
