# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Find near-duplicate images, such as neighbouring video frames."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from mmseg_cag.fileio.images import read_image

# legend: N M images, D numbers of a thumbnail

SIDE = 32  # side length of a thumbnail, in pixels
NEAR = 0.95  # thumbnails correlated at least this much are near-duplicates


def thumbnails(
    paths: Iterable[str], backend_args: dict | None = None
) -> np.ndarray:
    """Read the thumbnails of images (N, D) float32.

    Each has zero mean and unit norm, so that the product of two is their
    correlation: brightness and contrast alone do not matter.

    Args:
        paths: The images.
        backend_args: Arguments of mmengine's file backend.

    Raises:
        UserError: One cannot be read.
    """
    rows = [_thumbnail(read_image(path, backend_args)) for path in paths]
    return np.stack(rows) if rows else np.zeros((0, 3 * SIDE**2), np.float32)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    flat = small.astype(np.float32).ravel()
    flat -= flat.mean()
    return flat / max(float(np.linalg.norm(flat)), 1e-6)


def near_pairs(
    first: np.ndarray, second: np.ndarray, near: float = NEAR
) -> list[tuple[int, int]]:
    """List the near-duplicate pairs (i, j) between two sets.

    Args:
        first: Thumbnails (N, D).
        second: Thumbnails (M, D).
        near: Minimum correlation of a pair.
    """
    return [tuple(map(int, p)) for p in np.argwhere(first @ second.T >= near)]


def thin(order: Iterable[int], seen: np.ndarray, near: float = NEAR) -> list:
    """Drop each image that nearly duplicates an earlier one.

    Args:
        order: Indices of images, best first.
        seen: Thumbnails (N, D) of all of them.
        near: Minimum correlation of near-duplicates.

    Returns:
        The remaining indices, in the same order.
    """
    kept: list[int] = []
    for number in order:
        if not kept or (seen[kept] @ seen[number]).max() < near:
            kept.append(number)
    return kept
