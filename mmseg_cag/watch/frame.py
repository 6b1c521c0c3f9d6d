# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Summarise a network's outputs on one frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Approximate number of sampled pixels per frame: enough to estimate shares to
# one in a hundred, at no cost beside the network.
PIXELS = 2048

# legend: K classes, C moments, H W image, h w feature map,
# P pixels of a regular grid


class Frame(NamedTuple):
    """Summary of a frame.

    Attributes:
        classes: Predicted classes (P,) int64.
        nearest: Classes of the nearest anchors (P,) int64.
        distance: Distances to them (P,).
        gap: Extra distance to the runner-up (P,).
        moments: Moments of the features over the frame (C,).
        size: Height and width of the frame.
    """

    classes: np.ndarray
    nearest: np.ndarray
    distance: np.ndarray
    gap: np.ndarray
    moments: np.ndarray
    size: tuple[int, int]


def summarize(
    logits: np.ndarray, distances: np.ndarray, moments: np.ndarray
) -> Frame:
    """Summarise the outputs that a frame is judged by.

    Args:
        logits: Class scores (K, H, W).
        distances: Distances to the anchors (K, h, w).
        moments: Moments of the features (C,).
    """
    height, width = distances.shape[1:]
    step = max(1, round((height * width / PIXELS) ** 0.5))
    rows = np.arange(step // 2, height, step)
    columns = np.arange(step // 2, width, step)
    own = distances[:, rows[:, None], columns].reshape(len(distances), -1)
    nearest = own.argmin(0)
    two = np.partition(own, 1, axis=0)[:2]
    # The image pixel at the centre of the feature map's pixel.
    y = (2 * rows + 1) * logits.shape[1] // (2 * height)
    x = (2 * columns + 1) * logits.shape[2] // (2 * width)
    classes = logits[:, y[:, None], x].argmax(0).ravel()
    gap = two[1] - two[0]
    return Frame(classes, nearest, two[0], gap, moments, logits.shape[1:])
