# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What is unknown, as the report shows it."""

from __future__ import annotations

import numpy as np
import torch

from mmseg_cag.analysis.report.pictures import show_unknown
from mmseg_cag.analysis.report.unknown import Unknown


def test_pieces_that_look_alike_stand_together():
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), 'u1')
    mask, feat = torch.zeros(16, 32, dtype=torch.bool), torch.zeros(2, 16, 32)
    mask[1:3, 2:6] = mask[8:12, 2:6] = mask[8:12, 20:30] = True
    mask[15, 31] = True  # too small to be shown
    feat[0, :, :10], feat[1, :, 10:] = 5, 5
    unknown = Unknown()
    unknown.add(image, mask, feat)
    assert unknown.pixels == mask.sum() and unknown.seen == mask.numel()
    assert sorted(piece.pixels for piece in unknown.pieces) == [8, 16, 40]
    largest, small = (
        [g for g in unknown.clusters() if g[0].feat.argmax() == side]
        for side in (1, 0)
    )
    assert sum(map(len, largest)) == 1 and sum(map(len, small)) == 2
    # Four times the size of the map, and three tenths more at each side.
    [[piece]] = largest
    top, left = int((8 - 1.2) * 4), int((20 - 3) * 4)
    expected = image[top : int(np.ceil((12 + 1.2) * 4)), left : 4 * 32]
    assert (piece.crop == expected).all()


def test_the_page_has_their_crops():
    assert show_unknown(None) is None
    nothing = show_unknown(Unknown())
    assert nothing.share == 0 and nothing.clusters == []
    unknown = Unknown()
    mask = torch.ones(4, 8, dtype=torch.bool)
    unknown.add(np.zeros((16, 32, 3), 'u1'), mask, torch.rand(3, 4, 8))
    view = show_unknown(unknown)
    [group] = view.clusters
    assert view.share == 1 and group.share == 1 and group.pieces == 1
    assert group.crops[0].size == (144, 72)
    assert group.crops[0].address.startswith('data:image/webp')
