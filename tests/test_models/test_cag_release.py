# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""CAG's anchors, labels and losses against those of the release."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmseg_cag.models.anchors.anchor_bank import AnchorBank
from mmseg_cag.models.anchors.pseudo_label_head import PseudoLabelHead
from mmseg_cag.models.losses.anchor_distance_loss import AnchorDistanceLoss
from mmseg_cag.models.segmentors.base import resize_labels
from tests.golden import golden_file

IGNORE = 250
CASES = (1, 2, 3)


def load_case(number: int) -> dict[str, torch.Tensor]:
    arrays = np.load(golden_file(f'cag_case_{number}.npz'))
    return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def bank_of(case: dict[str, torch.Tensor]) -> AnchorBank:
    bank = AnchorBank(*case['anchors'].shape, level='image')
    centroids = bank.new_centroids()
    for feat, logits, labels in zip(
        case['src_feats'], case['src_logits'], case['src_labels'], strict=True
    ):
        labels = resize_labels(labels, feat)
        bank.accumulate(centroids, feat, logits, labels)
    bank.store(centroids)
    return bank


@pytest.mark.parametrize('number', CASES)
def test_anchors(number: int) -> None:
    case = load_case(number)
    bank = bank_of(case)
    met = case['anchor_counts'] > 0
    assert torch.equal(bank.counts.double(), case['anchor_counts'].double())
    torch.testing.assert_close(
        bank.anchors[met].double(),
        case['anchors'][met].double(),
        rtol=1e-5,
        atol=1e-7,
    )


@pytest.mark.parametrize('number', CASES)
def test_pseudo_labels(number: int) -> None:
    case = load_case(number)
    bank = bank_of(case)
    head = PseudoLabelHead(
        len(bank.anchors), by=('anchor', 'probability'), ignore_index=IGNORE
    )
    distances = bank.distances(case['tgt_feats'])
    nearest = distances.topk(2, dim=1, largest=False).values
    tie = ((nearest[:, 1] - nearest[:, 0]) - 2.5).abs() < 1e-5
    equal = head.by_anchor(distances) == case['anchor_pl']
    assert (equal | tie).all()
    assert (case['anchor_pl'] != IGNORE).any()
    confidence = case['tgt_logits'].softmax(1).amax(1)
    tie = (confidence - 0.95).abs() < 1e-5
    equal = head.by_probability(case['tgt_logits']) == case['prob_pl']
    assert (equal | tie).all()


@pytest.mark.parametrize('number', CASES)
@pytest.mark.parametrize('domain', ('src', 'tgt'))
def test_distance_loss_and_gradient(number: int, domain: str) -> None:
    case = load_case(number)
    bank = bank_of(case)
    if domain == 'src':
        feat, logits = case['src_feats'][0], case['src_logits'][0]
        labels = resize_labels(case['src_labels'][0], feat)
    else:
        feat, logits = case['student_tgt_feats'], case['student_tgt_logits']
        labels = case['anchor_pl']
    feat = feat.clone().requires_grad_()
    loss = AnchorDistanceLoss('centroid', loss_weight=1.0)(
        bank, feat, logits, labels
    )
    loss.backward()
    expected = case[f'dist_{domain}']
    if expected.isnan():  # the release divides by zero; nothing is zero
        assert loss == 0
        assert not feat.grad.any()
        return
    torch.testing.assert_close(
        loss.double(), expected.double(), rtol=1e-5, atol=0
    )
    torch.testing.assert_close(
        feat.grad.double(),
        case[f'dist_{domain}_grad'].double(),
        rtol=0,
        atol=1e-6,
    )
    assert feat.grad.any()


@pytest.mark.parametrize('number', CASES)
def test_total_loss(number: int) -> None:
    case = load_case(number)
    size = case['src_labels'].shape[-2:]
    upsampled = F.interpolate(
        case['src_logits'][0], size, mode='bilinear', align_corners=True
    )
    source = F.cross_entropy(
        upsampled, case['src_labels'][0].long(), ignore_index=IGNORE
    )
    torch.testing.assert_close(
        source.double(), case['ce_src_fullres'].double(), rtol=1e-5, atol=0
    )
