# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Find near-duplicate images, such as neighbouring video frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from mmseg.datasets import BaseSegDataset

from mmseg_cag.datasets.roles import ROLES, Roles, image_name
from mmseg_cag.fileio.images import read_image

# legend: N M images, D numbers of a thumbnail

SIDE = 32  # side length of a thumbnail, in pixels
SHOWN = 5  # near-duplicates listed by name
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


def warn_of_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print near-duplicates, each by its file and the other's."""
    for path, other in pairs[:SHOWN]:
        print(f'warning: {path} is a near-duplicate of {other}')
    if (more := len(pairs) - SHOWN) > 0:
        print(f'warning: {more} more pairs of images are near-duplicates')


def warn_of_held(
    paths: Sequence[str], dataset: BaseSegDataset, roles: Roles
) -> None:
    """Warn of near-duplicates of images to choose or certify by.

    Args:
        paths: Images to train on.
        dataset: All images of the target.
        roles: Their roles.
    """
    names = {one.image for role in ROLES[1:] for one in roles.of(role)}
    infos = map(dataset.get_data_info, range(len(dataset)))
    held = [
        info['img_path']
        for info in infos
        if image_name(dataset, info['img_path']) in names
    ]
    if not held:
        return
    own, others = (thumbnails(p, dataset.backend_args) for p in (paths, held))
    warn_of_pairs([(paths[i], held[j]) for i, j in near_pairs(own, others)])


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
