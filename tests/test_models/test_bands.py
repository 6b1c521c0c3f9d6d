# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch

from mmseg_cag.models.anchors import arithmetic as bands
from mmseg_cag.models.anchors.arithmetic import split_bands

ROW = 2 * 3 * 5


@pytest.mark.parametrize(
    ('limit', 'rows'),
    [(1, 1), (2 * ROW, 2), (3 * ROW - 1, 2), (99 * ROW, 7)],
)
def test_bands_make_up_the_maps_and_share_their_memory(
    monkeypatch, limit, rows
):
    monkeypatch.setattr(bands, 'CPU_CHUNK', limit)
    feat, labels = torch.randn(2, 3, 7, 5), torch.randn(2, 7, 5)
    found = list(split_bands(feat, labels))
    assert max(band.shape[2] for band, _ in found) == rows
    assert torch.equal(torch.cat([band for band, _ in found], 2), feat)
    assert torch.equal(torch.cat([band for _, band in found], 1), labels)
    for band, _ in found:
        band.zero_()
    assert not feat.any()


def test_no_band_has_more_pixels_than_wanted():
    feat = torch.randn(2, 3, 7, 5)
    for most, rows in ((4, 1), (14, 2), (99, 7), (None, 7)):
        bands = [band for (band,) in split_bands(feat, most=most)]
        assert max(band.shape[2] for band in bands) == rows


def test_a_map_without_pixels_is_one_band():
    [(band,)] = split_bands(torch.randn(1, 3, 0, 1))
    assert band.shape == (1, 3, 0, 1)
