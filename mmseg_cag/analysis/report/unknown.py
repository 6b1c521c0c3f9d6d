# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Cluster the regions that a network marks as unknown, as crops."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from mmseg_cag.models.anchors.class_means import k_means

SMALLEST = 0.002  # minimum share of an image of a region
AROUND = 0.3  # margin of a crop, as a share of the region's sides
CLUSTERS, CROPS = 6, 6  # at most, and crops of a cluster

# legend: H W image, C feature channels, h w feature map


@dataclass(frozen=True)
class Piece:
    """Connected region of unknown pixels.

    Attributes:
        crop: Crop of the image (?, ?, 3) uint8, RGB.
        pixels: Number of its pixels.
        feat: Mean of its features (C,).
    """

    crop: np.ndarray
    pixels: int
    feat: Tensor


@dataclass
class Unknown:
    """Unknown pixels of some images.

    Attributes:
        pieces: Regions large enough to be shown.
        pixels: Unknown pixels, including small regions.
        seen: Number of all pixels.
    """

    pieces: list[Piece] = field(default_factory=list)
    pixels: int = 0
    seen: int = 0

    def add(self, image: np.ndarray, unknown: Tensor, feat: Tensor) -> None:
        """Add an image's regions.

        Args:
            image: (H, W, 3) uint8, RGB.
            unknown: Mask of unknown pixels (h, w) bool.
            feat: Features (C, h, w).
        """
        mask = unknown.cpu().numpy()
        self.pixels += int(mask.sum())
        self.seen += mask.size
        numbered, _ = ndimage.label(mask)
        scale = np.divide(image.shape[:2], mask.shape)
        for number, box in enumerate(ndimage.find_objects(numbered), 1):
            own = numbered == number
            if own.sum() < SMALLEST * mask.size:
                continue
            where = torch.from_numpy(own).to(feat.device)
            mean = feat[:, where].mean(1).cpu()
            crop = image[_widen(box, scale, image.shape)]
            self.pieces.append(Piece(crop, int(own.sum()), mean))

    def clusters(self) -> list[list[Piece]]:
        """Cluster regions with similar features, the largest first."""
        if not self.pieces:
            return []
        feats = torch.stack([piece.feat for piece in self.pieces])
        generator = torch.Generator().manual_seed(0)
        centres = k_means(feats, CLUSTERS, generator)
        nearest = torch.cdist(feats, centres).argmin(1).tolist()
        groups: dict[int, list[Piece]] = {}
        for piece, group in zip(self.pieces, nearest, strict=True):
            groups.setdefault(group, []).append(piece)
        for group in groups.values():
            group.sort(key=lambda piece: -piece.pixels)
        return sorted(groups.values(), key=lambda g: -sum(p.pixels for p in g))


def _widen(
    box: tuple[slice, slice], scale: np.ndarray, shape: tuple[int, ...]
) -> tuple[slice, slice]:
    """Map a box of the feature map to the image, with some margin."""
    found = []
    for side, factor, size in zip(box, scale, shape, strict=False):
        room = AROUND * (side.stop - side.start)
        start = max(0, int((side.start - room) * factor))
        stop = min(size, int(np.ceil((side.stop + room) * factor)))
        found.append(slice(start, stop))
    return found[0], found[1]
