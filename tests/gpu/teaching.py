# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Anchors and margins beyond the release's, and distillation."""

from __future__ import annotations

import torch
from speed.operations import Maps
from torch import Tensor

from mmseg_cag.models.anchors.domain_anchor_bank import DomainAnchorBank
from mmseg_cag.models.anchors.running_margin import RunningMargin
from mmseg_cag.models.anchors.unknown import UnknownPixels
from mmseg_cag.models.losses.distillation_losses import (
    confident_labels,
    feature_direction,
    soft_label_divergence,
)


def running(maps: Maps) -> tuple[Tensor, Tensor]:
    classes = len(maps.bank.anchors)
    margin = RunningMargin(classes).to(maps.feat.device)
    label, gap = maps.bank.nearest(maps.feat.detach())
    # The labels of some classes are wrong.
    truth = maps.labels.where(maps.labels > 4, 0)
    margin.add(label, gap, truth)
    return margin.counts, margin.margin(0.9)


def unknown(maps: Maps) -> tuple[Tensor, Tensor, Tensor]:
    pixels = UnknownPixels(len(maps.bank.anchors), 0.9).to(maps.feat.device)
    distances = maps.bank.distances(maps.feat.detach())
    flat = distances.movedim(1, -1).flatten(0, 2)
    pixels.calibrate(flat, maps.labels.flatten())
    return pixels.limit, pixels.excess(distances), pixels(distances)


def by_domain(maps: Maps) -> tuple[Tensor, ...]:
    names = ['first', 'second']
    bank = DomainAnchorBank(names, *maps.bank.anchors.shape, level='image')
    bank = bank.to(maps.feat.device)
    feat, centroids = maps.feat.detach(), bank.new_centroids()
    bank.accumulate(centroids, feat, maps.logits, maps.labels, names)
    bank.store(centroids)
    return *bank.kept(), bank.anchors, bank.distances(feat)


def soft_labels(maps: Maps) -> Tensor:
    logits = maps.logits.detach().requires_grad_()
    loss = soft_label_divergence(logits, maps.logits.flip(1), 2.0)
    return torch.autograd.grad(loss, logits)[0]


def features(maps: Maps) -> Tensor:
    loss = feature_direction(maps.feat, maps.feat.detach().roll(1, 1))
    return torch.autograd.grad(loss, maps.feat)[0]


CASES = {
    'running margin': running,
    'unknown pixels': unknown,
    'anchors by domain': by_domain,
    'confident labels': lambda m: confident_labels(m.logits, 0.8),
    'soft labels': soft_labels,
    'feature direction': features,
}
