# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a mean teacher is, and does to images and labels."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from mmseg.registry import MODELS
from speed.operations import Maps
from torch import Tensor

from mmseg_cag.models.masking import Masking
from mmseg_cag.models.mixing import (
    Labelled,
    class_mask,
    draw_classes,
    paste,
)
from mmseg_cag.models.online_labels import online_pseudo_labels
from mmseg_cag.models.strong_augmentation import draw_strong, strong_transform
from mmseg_cag.models.teacher import Teacher
from tests import tiny


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


def mean(maps: Maps) -> Tensor:
    colour = torch.tensor([120.0, 110.0, 100.0], device=maps.feat.device)
    return colour.view(3, 1, 1)


def changed(maps: Maps) -> Tensor:
    draws = draw_strong((True, True), generator(), len(maps.feat))
    return strong_transform(images(maps), draws, mean(maps), mean(maps) / 2)


def hidden(maps: Maps) -> Tensor:
    source = Labelled(images(maps), maps.labels)
    target = Labelled(-source.images, maps.labels.roll(1, 0))
    normaliser = SimpleNamespace(mean=mean(maps), std=mean(maps) / 2)
    masking = Masking(block=8, mode='separateaug')
    return masking.hide(source, target, generator(), normaliser).images


def averaged(maps: Maps) -> Tensor:
    torch.manual_seed(3)
    student = MODELS.build(tiny.segmentor() | dict(type='DACSSegmentor'))
    student.to(maps.feat.device)
    teacher = Teacher(student, momentum=0.2, buffers='average')
    own = generator()
    for _ in range(6):
        teacher.update_parameters(student)
        for value in student.parameters():
            noise = torch.randn(value.shape, generator=own)
            value.data += noise.to(value.device)
    return torch.cat([p.flatten() for p in teacher.module.parameters()])


CASES = {
    'labels online': lambda m: online_pseudo_labels(m.logits, 0.8, 2, 3),
    'class mask': mixed,
    'strong transform': changed,
    'masked images': hidden,
    'moving average': averaged,
}
