# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math

import pytest
import torch
from mmseg.registry import MODELS

N, K, H, W = 2, 6, 8, 9
MARGIN = 2.5


def build(**kwargs):
    cfg = dict(type='PseudoLabelHead', num_classes=K)
    return MODELS.build({**cfg, **kwargs})


def loop_by_anchor(distances, margins, ignored=255):
    labels = torch.empty(N, H, W, dtype=torch.int64)
    for n in range(N):
        for i in range(H):
            for j in range(W):
                pixel = distances[n, :, i, j].tolist()
                nearest = min(range(K), key=pixel.__getitem__)
                second = min(d for k, d in enumerate(pixel) if k != nearest)
                active = second - pixel[nearest] >= margins[nearest]
                labels[n, i, j] = nearest if active else ignored
    return labels


def quarters() -> torch.Tensor:
    """Distances in quarters without two equal ones in a pixel.

    Their differences are exact, so that many meet the margin exactly.
    """
    order = torch.rand(N, 60, H, W).argsort(1)[:, :K]
    return order.float() / 4


def test_by_anchor_against_a_loop_with_ties_at_the_margin():
    distances = quarters()
    nearest = distances.topk(2, 1, largest=False).values
    gap = nearest[:, 1] - nearest[:, 0]
    assert (gap == MARGIN).any() and (gap < MARGIN).any()
    labels = build(margin=MARGIN).by_anchor(distances)
    assert labels.dtype == torch.int64
    assert torch.equal(labels, loop_by_anchor(distances, [MARGIN] * K))
    assert (labels[gap == MARGIN] != 255).all()


def test_each_class_may_have_its_own_margin():
    head = build(margin='auto')
    margins = [0.0, 0.5, 1.0, 2.5, 4.0, math.inf]
    head.load_state_dict({'margin': torch.tensor(margins)})
    distances = quarters()
    labels = head.by_anchor(distances)
    assert torch.equal(labels, loop_by_anchor(distances, margins))
    assert (labels == 0).any() and not (labels == 5).any()


def test_a_checkpoint_does_not_override_a_margin_of_the_config():
    head = build(margin=MARGIN)
    head.load_state_dict(build(margin=2 * MARGIN).state_dict())
    assert (head.margin == MARGIN).all()


def test_an_absent_class_is_never_assigned_nor_in_the_way():
    distances = quarters()
    distances[:, 2] = math.inf
    labels = build(margin=MARGIN).by_anchor(distances)
    assert torch.equal(labels, loop_by_anchor(distances, [MARGIN] * K))
    assert not (labels == 2).any()


def test_without_any_anchor_no_pixel_is_active():
    distances = torch.full((N, K, H, W), math.inf)
    assert (build(margin=0.0).by_anchor(distances) == 255).all()


@pytest.mark.parametrize('threshold', [0.3, 0.95])
def test_by_probability_against_a_loop(threshold):
    logits = torch.randn(N, K, H, W) * 3
    labels = build(probability=threshold).by_probability(logits)
    assert labels.dtype == torch.int64
    for n in range(N):
        for i in range(H):
            for j in range(W):
                scores = [math.exp(v) for v in logits[n, :, i, j].tolist()]
                best = max(range(K), key=scores.__getitem__)
                sure = scores[best] / sum(scores) > threshold
                assert labels[n, i, j] == (best if sure else 255)
    assert 0 < (labels == 255).float().mean() < 1


def test_the_probability_must_exceed_the_threshold():
    logits = torch.zeros(1, 2, 1, 1)  # exactly one half each
    assert build(probability=0.5).by_probability(logits).item() == 255
    assert build(probability=0.49).by_probability(logits).item() == 0


def test_another_ignore_index():
    head = build(margin=MARGIN, ignore_index=250)
    distances = quarters()
    expected = loop_by_anchor(distances, [MARGIN] * K, 250)
    assert torch.equal(head.by_anchor(distances), expected)
    flat = torch.zeros(1, K, 2, 2)
    assert (head.by_probability(flat) == 250).all()


@pytest.mark.parametrize('key', ['precision', 'probability'])
@pytest.mark.parametrize('value', [-0.5, 95])
def test_shares_out_of_range(key, value):
    message = f'PseudoLabelHead: {key}={value}, expected a number in 0..1'
    with pytest.raises(ValueError, match=message):
        build(**{key: value})


@pytest.mark.parametrize('by', [(), ('entropy',), ('anchor', 'entropy')])
def test_unknown_kinds(by):
    with pytest.raises(ValueError, match='PseudoLabelHead: by=') as caught:
        build(by=by)
    assert '\n' not in str(caught.value)
