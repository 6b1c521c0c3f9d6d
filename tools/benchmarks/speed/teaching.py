# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Time a mean teacher's extra work against straightforward forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_cag.models.mixing import Labelled, class_mask, draw_classes, paste
from mmseg_cag.models.online_labels import online_pseudo_labels
from mmseg_cag.models.strong_augmentation import (
    StrongDraws,
    draw_strong,
    jitter,
    kernel_side,
    strong_transform,
)
from mmseg_cag.models.teacher import move

from .timing import time_in_turn

# legend: N images, K classes, H W image

WEIGHT, THRESHOLD = 0.001, 0.968
# Tensors of a network, as in MiT-B5 with DAFormer's head: 1100 with 85 million
# numbers.
TENSORS, LARGEST = 1100, 300_000


@dataclass
class Lesson:
    """Inputs of a mean teacher's step.

    Attributes:
        source: Images (N, 3, H, W) with labels (N, H, W).
        target: Likewise, with pseudo labels and weights.
        logits: Class scores (N, K, H, W) of the teacher.
        preference: Random order of the classes (N, 256).
        draws: Random parameters of each image's strong augmentation.
        student: Tensors of the student.
        teacher: Tensors of the teacher.
        mean: Mean for the normalisation (3, 1, 1).
        std: Likewise.
    """

    source: Labelled
    target: Labelled
    logits: Tensor
    preference: Tensor
    draws: list[StrongDraws]
    student: list[Tensor]
    teacher: list[Tensor]
    mean: Tensor
    std: Tensor

    @classmethod
    def draw(
        cls,
        shape: tuple[int, int, int],
        num_classes: int,
        device: str,
        tensors: int,
        largest: int,
    ) -> Lesson:
        """Draw random inputs.

        Args:
            shape: N, H and W.
            num_classes: Classes K.
            device: Their device.
            tensors: Number of tensors of each network.
            largest: Elements of the largest one.
        """
        n, *size = shape
        generator = torch.Generator().manual_seed(0)

        def normal(*sizes: int) -> Tensor:
            return torch.randn(sizes, generator=generator).to(device)

        labels = torch.randint(num_classes, (2, n, *size), generator=generator)
        labels = labels.to(device)
        sizes = torch.linspace(1, 0, tensors).pow(4).mul(largest).int() + 1
        networks = [
            [normal(int(s)) for s in sizes]
            for _ in range(2)
        ]  # fmt: skip
        return cls(
            Labelled(normal(n, 3, *size), labels[0]),
            Labelled(
                normal(n, 3, *size),
                labels[1],
                torch.full((n, *size), 0.7, device=device),
            ),
            4 * normal(n, num_classes, *size),
            draw_classes(n, generator),
            [draw_strong((True, True), generator) for _ in range(n)],
            *networks,
            *(normal(3, 1, 1).abs() + 100 for _ in range(2)),
        )


def update(lesson: Lesson) -> Tensor:
    """Update the teacher: all tensors at once."""
    move(lesson.teacher, lesson.student, WEIGHT)
    return lesson.teacher[0]


def update_one_by_one(lesson: Lesson) -> Tensor:
    """Update the teacher tensor by tensor, with separate products and sums."""
    for average, value in zip(lesson.teacher, lesson.student, strict=True):
        average.copy_((1 - WEIGHT) * average + WEIGHT * value)
    return lesson.teacher[0]


def mix(lesson: Lesson) -> Tensor:
    """Paste half of the classes without device synchronisation."""
    mask = class_mask(lesson.source.labels, lesson.preference)
    return paste(lesson.source, lesson.target, mask).images


def mix_by_loops(lesson: Lesson) -> Tensor:
    """Read the classes, and compare with each chosen one."""
    labels = lesson.source.labels
    classes = torch.unique(labels).tolist()
    images = []
    for i, order in enumerate(lesson.preference):
        chosen = sorted(classes, key=lambda c, order=order: order[c].item())
        mask = torch.zeros_like(labels[i])
        for c in chosen[: (len(classes) + 1) // 2]:
            mask += labels[i] == c
        images.append(
            mask * lesson.source.images[i]
            + (1 - mask) * lesson.target.images[i]
        )
    return torch.stack(images)


def augment(lesson: Lesson) -> Tensor:
    """Jitter and blur, with only the significant blur taps."""
    images = lesson.source.images.split(1)
    return torch.cat(
        [
            strong_transform(image, draws, lesson.mean, lesson.std)
            for image, draws in zip(images, lesson.draws, strict=True)
        ]
    )


def augment_densely(lesson: Lesson) -> Tensor:
    """Jitter and blur with a kernel of a tenth of the image."""
    images = []
    for image, draws in zip(
        lesson.source.images.split(1), lesson.draws, strict=True
    ):
        grey = (image * lesson.std + lesson.mean) / 255
        image = (jitter(grey, draws) * 255 - lesson.mean) / lesson.std
        axes = [
            _taps(side, draws.sigma, image.device) for side in image.shape[2:]
        ]
        kernel = torch.outer(*axes).expand(3, 1, -1, -1)
        down, across = (len(axis) // 2 for axis in axes)
        padded = F.pad(image, (across, across, down, down), mode='reflect')
        images.append(F.conv2d(padded, kernel, groups=3))
    return torch.cat(images)


def _taps(side: int, sigma: float, device: torch.device) -> Tensor:
    radius = kernel_side(side) // 2
    distance = torch.arange(-radius, radius + 1.0, device=device)
    taps = torch.exp(-(distance**2) / (2 * sigma**2))
    return taps / taps.sum()


def label(lesson: Lesson) -> Tensor:
    """Label, and weight by a share that stays on the device."""
    return online_pseudo_labels(lesson.logits, THRESHOLD, 15, 120)[1]


def label_on_the_host(lesson: Lesson) -> Tensor:
    """Label, and weight by a share computed on the host."""
    confidence, labels = torch.softmax(lesson.logits, 1).max(1)
    sure = confidence.ge(THRESHOLD).long() == 1
    share = torch.sum(sure).item() / np.size(labels.cpu().numpy())
    weight = share * torch.ones(labels.shape, device=labels.device)
    weight[:, :15] = 0
    weight[:, -120:] = 0
    return weight


OPERATIONS: dict[str, tuple[Callable[[Lesson], Tensor], ...]] = {
    'teacher update': (update, update_one_by_one),
    'ClassMix': (mix, mix_by_loops),
    'jitter and blur': (augment, augment_densely),
    'labels and their weight': (label, label_on_the_host),
}


@torch.no_grad()
def measure_teaching(
    shape: tuple[int, int, int],
    num_classes: int,
    *,
    rounds: int,
    device: str,
) -> dict[str, dict]:
    """Time each operation and its straightforward form, in turn.

    Args:
        shape: N, H and W of the images.
        num_classes: Classes K.
        rounds: Number of timed calls.
        device: Where.

    Returns:
        By operation its times, and those of the other form (``plain``).
    """
    lesson = Lesson.draw(shape, num_classes, device, TENSORS, LARGEST)
    functions = {
        (name, number): lambda form=form: form(lesson)
        for name, forms in OPERATIONS.items()
        for number, form in enumerate(forms)
    }
    times = time_in_turn(functions, rounds, device)
    return {
        name: dict(times[name, 0], plain=times[name, 1]) for name in OPERATIONS
    }
