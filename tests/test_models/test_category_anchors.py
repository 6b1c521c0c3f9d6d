# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
import torch

from mmseg_cag.models.anchors.anchor_file import read_category_anchors
from tests.golden import golden_file


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'category_anchors'


def test_published_anchors():
    anchors, counts = read_category_anchors(golden_file('category_anchors'))
    assert anchors.dtype == counts.dtype == torch.float32
    assert anchors.shape == (19, 256)
    # fmt: off
    assert counts.tolist() == [
        3000, 3000, 3000, 3000, 1512, 3000, 3000, 2212, 3000, 3000,
        3000, 2906, 546, 3000, 3000, 499, 125, 535, 80,
    ]
    norms = [
        7.218, 6.927, 7.590, 6.922, 6.896, 8.152, 11.718, 10.431, 7.804,
        6.801, 8.872, 8.538, 11.949, 8.019, 7.890, 10.209, 10.326, 11.884,
        12.441,
    ]
    # fmt: on
    torch.testing.assert_close(
        anchors.norm(dim=1), torch.tensor(norms), rtol=0, atol=6e-4
    )
    gaps = torch.cdist(anchors, anchors).fill_diagonal_(float('inf'))
    assert gaps.min().item() == pytest.approx(4.78, abs=0.005)
    assert divmod(gaps.argmin().item(), 19) == (3, 4)  # wall and fence


@pytest.mark.parametrize('zipped', [True, False])
def test_dict_is_read(path, zipped):
    vectors, counts = np.random.rand(3, 4), np.array([2.0, 0.0, 5.0])
    torch.save(
        {'objective_vectors': vectors, 'objective_num': counts},
        path,
        _use_new_zipfile_serialization=zipped,
    )
    got = read_category_anchors(path)
    torch.testing.assert_close(got[0], torch.from_numpy(vectors).float())
    assert got[1].tolist() == [2, 0, 5]


def test_bare_array_counts_classes_with_an_anchor(path):
    vectors = np.random.rand(3, 4)
    vectors[1] = 0
    torch.save(vectors, path)
    anchors, counts = read_category_anchors(path)
    torch.testing.assert_close(anchors, torch.from_numpy(vectors).float())
    assert counts.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        ({'objective_vectors': np.ones((2, 3))}, 'objective_num'),
        (np.ones(3), r'\(K, C\)'),
        (
            {
                'objective_vectors': np.ones((2, 3)),
                'objective_num': np.ones(3),
            },
            r'\(K,\)',
        ),
        (np.full((2, 3), np.nan), 'finite'),
        ('anchors', 'array of numbers'),
    ],
)
def test_other_content_is_refused(path, content, expected):
    torch.save(content, path)
    with pytest.raises(ValueError, match=f'category_anchors: .*{expected}'):
        read_category_anchors(path)
