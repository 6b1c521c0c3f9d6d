# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Each operation computes on a GPU what it computes on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from gpu_day.precision import allow_tf32
from speed.operations import Maps, operations
from torch import Tensor

from mmseg_cag.models.anchors.anchor_bank import is_correct
from mmseg_cag.models.anchors.class_means import class_feature_sums
from mmseg_cag.models.anchors.pseudo_label_head import PixelSampler
from mmseg_cag.models.losses.adversarial_loss import AdversarialLoss
from mmseg_cag.models.losses.head_loss import accuracy, pixel_loss
from mmseg_cag.models.losses.softmax_focal_loss import SoftmaxFocalLoss
from mmseg_cag.models.losses.weight_discrepancy_loss import (
    WeightDiscrepancyLoss,
)
from mmseg_cag.models.segmentors.base import resize_labels
from mmseg_cag.models.segmentors.clan import disagreement
from tests.gpu import mixes, teaching

pytestmark = pytest.mark.gpu

SHAPE, K = (2, 16, 40, 56), 19
HALF = {'bf16': torch.bfloat16, 'fp16': torch.float16}
# Of the largest value: float32 sums in another order, and products of halves.
CLOSE, NEAR = 2e-5, 2e-2
TINY = 6e-8  # the smallest positive number of float16


def sampled(maps: Maps) -> tuple[Tensor, Tensor]:
    sample = PixelSampler(200, len(maps.feat), maps.bank.anchors)
    sample.add(maps.feat.detach(), maps.labels)
    return sample.gather()


def calibrated(maps: Maps) -> Tensor:
    maps.head.per_class = True
    maps.head.precision = 0.9
    feat, labels = sampled(maps)
    distances = maps.bank.distances(feat[:, :, None, None])[:, :, 0, 0]
    maps.head.calibrate(distances, labels.roll(3).where(labels > 4, labels))
    return maps.head.margin


def cross_entropy(maps: Maps) -> Tensor:
    from mmseg.models.losses import CrossEntropyLoss

    loss = CrossEntropyLoss(avg_non_ignore=True)
    logits = maps.logits.detach().requires_grad_()
    labels = maps.labels.where(maps.labels > 2, 255)
    pixel_loss(loss, logits, labels, 255).backward()
    return logits.grad


def focal(maps: Maps) -> Tensor:
    logits = maps.logits.detach().requires_grad_()
    SoftmaxFocalLoss()(logits, maps.labels.where(maps.labels > 2, 255))
    return torch.autograd.grad(
        SoftmaxFocalLoss()(logits, maps.labels), logits
    )[0]


def discrepancy(maps: Maps) -> Tensor:
    torch.manual_seed(3)
    first, second = (torch.nn.Conv2d(16, K, 1) for _ in range(2))
    for layer in (first, second):
        layer.to(maps.feat.device)
    return WeightDiscrepancyLoss()(first, second).detach()


CASES: dict[str, Callable[[Maps], object]] = {
    **operations(),
    'distances': lambda m: m.bank.distances(m.feat.detach()),
    'nearest': lambda m: m.bank.nearest(m.feat.detach()),
    'class sums': lambda m: class_feature_sums(m.feat.detach(), m.labels, K),
    'right predictions': lambda m: is_correct(m.labels, m.logits),
    'labels by probability': lambda m: m.head.by_probability(m.logits),
    'sampled pixels': sampled,
    'margin': calibrated,
    'cross entropy': cross_entropy,
    'focal loss': focal,
    'accuracy': lambda m: accuracy(m.logits, m.labels, 255),
    'resized labels': lambda m: resize_labels(m.labels, m.feat[..., ::2, ::2]),
    'disagreement': lambda m: disagreement(m.logits, m.logits.flip(1)),
    'weight discrepancy': discrepancy,
    'adversarial loss': lambda m: AdversarialLoss()(
        m.logits[:, :1], 1, m.logits[:, 1:2].sigmoid()
    ),
    **mixes.CASES,
    **teaching.CASES,
}
# Those whose gradient is in the precision of its map.
ROUNDED = {'distance loss', 'distance loss, pixel level', 'cross entropy',
           'focal loss', 'soft labels',
           'feature direction'}  # fmt: skip


def compute(name: str, maps: Maps) -> list[Tensor]:
    found = CASES[name](maps)
    parts = found if isinstance(found, tuple) else (found,)
    return [part.detach().cpu() for part in parts]


def draw(device: str, dtype: torch.dtype, order: torch.memory_format) -> Maps:
    maps = Maps.draw(SHAPE, K, 'cpu', dtype, order)
    # Some pixels are inactive.
    maps.head.margin.fill_(0.3)
    maps.bank.counts[5] = 0
    return Maps(
        maps.bank.to(device),
        maps.head.to(device),
        maps.feat.detach().to(device).requires_grad_(),
        maps.logits.to(device),
        maps.labels.to(device),
    )


def compare(found: list[Tensor], expected: list[Tensor], limit: float) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        if one.dtype in (torch.int64, torch.bool):
            # Where two classes are as near, rounding decides.
            assert (one != other).float().mean() < 2e-3
            continue
        one, other = one.double(), other.double()
        assert torch.equal(one.isfinite(), other.isfinite())
        one, other = (t.where(t.isfinite(), 0) for t in (one, other))
        # Labels that rounding decides move single values.
        wrong = (one - other).abs() > limit * other.abs().max() + TINY
        assert wrong.double().mean() < 2e-3, (one - other).abs().max()


@pytest.mark.parametrize(
    'order', [torch.contiguous_format, torch.channels_last], ids=str
)
@pytest.mark.parametrize('name', CASES)
def test_in_float32(name, order, device):
    expected = compute(name, draw('cpu', torch.float32, order))
    # Whatever a program allows for its network.
    with allow_tf32(True):
        found = compute(name, draw(device, torch.float32, order))
    compare(found, expected, CLOSE)


@pytest.mark.parametrize('precision', HALF)
@pytest.mark.parametrize('name', CASES)
def test_under_autocast(name, precision, device):
    dtype = HALF[precision]
    order = torch.channels_last
    expected = compute(name, as_float32(draw('cpu', dtype, order)))
    context = torch.autocast(device, dtype) if device == 'cuda' else None
    with context or nullcontext():
        found = compute(name, draw(device, dtype, order))
    # Halves are widened: only what is handed back in half is rounded.
    compare(found, expected, NEAR if name in ROUNDED else 20 * CLOSE)


def as_float32(maps: Maps) -> Maps:
    feat = maps.feat.detach().float().requires_grad_()
    return Maps(maps.bank, maps.head, feat, maps.logits.float(), maps.labels)


def test_a_wrong_value_is_noticed(device):
    maps = draw('cpu', torch.float32, torch.channels_last)
    expected = compute('class sums', maps)
    spoilt = [part.clone() for part in expected]
    spoilt[0][0] *= 1.01
    with pytest.raises(AssertionError):
        compare(spoilt, expected, CLOSE)
