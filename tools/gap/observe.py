# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Collect statistics of images and predictions, image by image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_cag.analysis.runs.labeling_network import LabelingNetwork
from mmseg_cag.analysis.runs.samples import Sample
from mmseg_cag.engine.runtime.norm_statistics import norms_of
from mmseg_cag.models.anchors.anchor_bank import smallest_two
from mmseg_cag.models.segmentors.base import resize_labels

# legend: P pixels, K classes, H W image, h w feature map, B bands, L norms

BANDS = 6  # octaves of the spectrum
SMALLEST = 6  # minimum pixels of a component
MARGIN_BINS = 20


class Observed(NamedTuple):
    """Statistics of one image.

    Attributes:
        logits: Class scores of sampled pixels (P, K).
        truth: Their true classes (P,), -1 where there is none or no label.
        predicted: Predicted pixels of each class (K,).
        confusion: Pixels (K, K), rows the ground truth; None without a label.
        colour: Sum of the logarithms of red, green and blue (K, 3) by
            predicted class.
        sizes: Sum of the logarithms of the sides of components (K,), weighted
            by their sides.
        components: Sum of these weights (K,).
        spectrum: Log power (B,) by octave, the finest first.
        norms: Distance of batch norms' inputs from the statistics (L,), in
            standard deviations.
        margins: Pixels (20,) by the gap between the two nearest anchors, as
            a share of the farther.
    """

    logits: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    confusion: np.ndarray | None
    colour: np.ndarray
    sizes: np.ndarray
    components: np.ndarray
    spectrum: np.ndarray
    norms: np.ndarray
    margins: np.ndarray


@torch.no_grad()
def observe(
    network: LabelingNetwork,
    preprocessor: nn.Module,
    sample: Sample,
    pixels: int = 500,
) -> Observed:
    """Collect an image's statistics through a network.

    Args:
        network: The network with anchors.
        preprocessor: Preprocessor of the image's domain.
        sample: The image; its label is counted if present.
        pixels: Number of pixels sampled for the scores.
    """
    with norm_shifts(network.model) as norms:
        seen = network.see(preprocessor, sample)
    logits = seen.logits[0][0].float().cpu()
    classes, height, width = logits.shape
    labels = classes_of(network.model.decode_head, logits[None])[0]
    truth = torch.full_like(labels, -1)
    if sample.has_truth:
        own = sample.truth[None]
        truth = resize_labels(own, logits[None])[0]
        truth[(truth < 0) | (truth >= classes)] = -1
    flat = logits.flatten(1).T
    drawn = torch.randperm(
        len(flat), generator=torch.Generator().manual_seed(0)
    )[:pixels]
    known = truth >= 0
    confusion = None
    if sample.has_truth:
        pairs = truth[known] * classes + labels[known]
        confusion = torch.bincount(pairs, minlength=classes**2)
        confusion = confusion.view(classes, classes).numpy()
    image = sample.image.permute(1, 2, 0).numpy()
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    sizes, components = component_sizes(labels.numpy(), classes)
    _, nearest, second = smallest_two(network.bank.distances(seen.feat))
    return Observed(
        flat[drawn].numpy(),
        truth.flatten()[drawn].numpy(),
        torch.bincount(labels.flatten(), minlength=classes).numpy(),
        confusion,
        class_colours(small, labels.numpy(), classes),
        sizes,
        components,
        spectrum(image),
        np.array(norms),
        margin_histogram(nearest, second),
    )


def classes_of(head: nn.Module, logits: Tensor) -> Tensor:
    """Predict the classes (N, h, w) of class scores as evaluation does.

    Args:
        head: The decode head; one with a single sigmoid has a threshold.
        logits: Its scores (N, K, h, w); (0, z) of a sigmoid.
    """
    if head.out_channels > 1:
        return logits.argmax(1)
    foreground = logits[:, 1] - logits[:, 0]
    return (foreground.sigmoid() > head.threshold).long()


def class_colours(
    image: np.ndarray, labels: np.ndarray, classes: int
) -> np.ndarray:
    """Sum the logarithms of the colours (K, 3) of the pixels of each class."""
    logs = np.log(image.astype(np.float64) + 4).reshape(-1, 3)
    return np.stack(
        [
            np.bincount(labels.ravel(), logs[:, c], minlength=classes)
            for c in range(3)
        ],
        1,
    )


def component_sizes(
    labels: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the connected components of each class.

    Components that touch the border are truncated, and skipped.

    Returns:
        Sums of weight times log side (K,) and of the weights. The weights are
        the sides: otherwise specks would outvote the objects.
    """
    sums, weights = np.zeros((2, classes))
    height, width = labels.shape
    for k in np.unique(labels):
        _, _, stats, _ = cv2.connectedComponentsWithStats(
            (labels == k).astype(np.uint8), connectivity=8
        )
        left, top, wide, high, area = stats[1:].T
        inner = (left > 0) & (left + wide < width)
        inner &= (top > 0) & (top + high < height) & (area >= SMALLEST)
        sides = np.sqrt(area[inner])
        sums[k] = (sides * np.log(sides)).sum()
        weights[k] = sides.sum()
    return sums, weights


def spectrum(image: np.ndarray) -> np.ndarray:
    """Compute an image's log power by octave (B,).

    The finest octave first; relative to the mean over octaves, so that
    contrast alone does not matter.
    """
    level = np.log(image.mean(2) + 4).astype(np.float32)
    powers = []
    for _ in range(BANDS):
        coarse = cv2.GaussianBlur(level, (0, 0), 1.0)
        powers.append(float(np.log(np.var(level - coarse) + 1e-8)))
        if min(level.shape) < 8:
            break
        level = coarse[::2, ::2]
    powers += powers[-1:] * (BANDS - len(powers))
    return np.array(powers) - np.mean(powers)


@contextmanager
def norm_shifts(model: nn.Module) -> Iterator[list[float]]:
    """Measure the distance of batch norms' inputs from their statistics.

    Yields:
        A list. For each norm in a forward pass inside, it gets the root mean
        square over channels of (mean of the input - running mean) / running
        standard deviation.
    """
    shifts: list[float] = []

    def measure(norm: _BatchNorm, inputs: tuple[Tensor]) -> None:
        own = inputs[0].float().mean((0, 2, 3))
        spread = (norm.running_var + norm.eps).sqrt()
        shift = (own - norm.running_mean) / spread
        shifts.append(float(shift.square().mean().sqrt()))

    handles = [
        norm.register_forward_pre_hook(measure)
        for norm in norms_of(model).values()
    ]
    try:
        yield shifts
    finally:
        for handle in handles:
            handle.remove()


def margin_histogram(nearest: Tensor, second: Tensor) -> np.ndarray:
    """Count pixels by (second - nearest) / second, from 0 to 1."""
    share = (1 - nearest / second.clamp(min=1e-12)).clamp(0, 1)
    return torch.histc(share.float().cpu(), MARGIN_BINS, 0, 1).numpy()
