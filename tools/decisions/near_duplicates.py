# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Images that show nearly the same, such as neighbours in a video."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from mmseg_cag.fileio.images import read_image

# legend: N M images, D numbers of a thumbnail

SIDE = 32  # pixels of a thumbnail's sides
NEAR = 0.95  # correlation from which two thumbnails are near-duplicates


def thumbnails(
    paths: Iterable[str], backend_args: dict | None = None
) -> np.ndarray:
    """Read the thumbnails of images (N, D) float32.

    Each is centred and of length 1, so that the product of two is their
    correlation: a change of brightness or contrast alone does not show.

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
    """List the pairs (i, j) of near-duplicates of two sets.

    Args:
        first: Thumbnails (N, D).
        second: Thumbnails (M, D).
        near: Correlation from which a pair counts.
    """
    return [tuple(map(int, p)) for p in np.argwhere(first @ second.T >= near)]


def thin(order: Iterable[int], seen: np.ndarray, near: float = NEAR) -> list:
    """Leave out each image that is nearly one before it.

    Args:
        order: Numbers of images, the best first.
        seen: Thumbnails (N, D) of all of them.
        near: Correlation from which two are nearly the same.

    Returns:
        Those that stay, in the same order.
    """
    kept: list[int] = []
    for number in order:
        if not kept or (seen[kept] @ seen[number]).max() < near:
            kept.append(number)
    return kept
