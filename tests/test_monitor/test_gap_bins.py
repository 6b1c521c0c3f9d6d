# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch

from mmseg_cag.models.anchors.pseudo_label_head import nearest_anchor
from mmseg_cag.monitor.target_record import (
    anchor_distances,
    count_gaps,
    gap_edges,
)


def test_distances_and_no_anchor():
    anchors = torch.tensor([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0], [0.0, 1.0]])
    distances = anchor_distances(anchors, torch.tensor([5.0, 1.0, 0.0, 2.0]))
    assert distances[0, 1] == 5 and distances[1, 0] == 5
    assert distances[0, 3] == 1 and distances[0, 0] == 0
    assert distances[2].isinf().all() and distances[:, 2].isinf().all()


def test_every_gap_is_within_the_edges():
    anchors = torch.randn(6, 3)
    between = anchor_distances(anchors, torch.ones(6))
    edges = gap_edges(between, 7)
    assert len(edges) == 8 and edges[0] == 0
    # The anchors themselves have the largest gaps.
    pixels = torch.cat([torch.randn(2000, 3) * 3, anchors])
    _, gap = nearest_anchor(torch.cdist(pixels, anchors))
    assert gap.max() <= edges[-1] * (1 + 1e-5)
    torch.testing.assert_close(gap.max(), edges[-1])


@pytest.mark.parametrize('counts', [[0.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
def test_without_two_anchors_there_are_no_gaps(counts):
    between = anchor_distances(torch.randn(3, 2), torch.tensor(counts))
    assert gap_edges(between, 4) is None


def test_counts_against_a_loop():
    edges = torch.linspace(0, 2, 5)
    gap = torch.tensor([0.0, 0.5, 0.49, 1.999, 2.0, 2.0001, 1.0])
    label = torch.tensor([0, 0, 1, 1, 2, 2, 0])
    expected = torch.zeros(4, 4, dtype=torch.int64)
    for g, k in zip(gap, label, strict=True):
        inner = [i for i in range(4) if edges[i] <= g] or [0]
        expected[k, inner[-1]] += 1
    assert torch.equal(count_gaps(gap, label, edges, 4), expected)
