# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a mean teacher does to images and labels."""

from __future__ import annotations

import torch
from speed.operations import Maps
from torch import Tensor

from mmseg_cag.models.mixing import (
    Labelled,
    class_mask,
    draw_classes,
    paste,
)
from mmseg_cag.models.online_labels import online_pseudo_labels
from mmseg_cag.models.strong_augmentation import draw_strong, strong_transform


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def images(maps: Maps) -> Tensor:
    """Normalised images (N, 3, h, w) float32 that features stand for."""
    return maps.feat.detach()[:, :3].float().contiguous()


def mixed(maps: Maps) -> tuple[Tensor, Tensor, Tensor]:
    preference = draw_classes(len(maps.labels), generator())
    mask = class_mask(maps.labels, preference)
    source = Labelled(images(maps), maps.labels)
    weight = torch.full_like(source.images[:, 0], 0.25)
    target = Labelled(-source.images, maps.labels.roll(1, 0), weight)
    return paste(source, target, mask)[:3]


def changed(maps: Maps) -> Tensor:
    draws = draw_strong((True, True), generator(), len(maps.feat))
    mean = torch.tensor([120.0, 110.0, 100.0], device=maps.feat.device)
    mean = mean.view(3, 1, 1)
    return strong_transform(images(maps), draws, mean, mean / 2)


CASES = {
    'labels online': lambda m: online_pseudo_labels(m.logits, 0.8, 2, 3),
    'class mask': mixed,
    'strong transform': changed,
}
