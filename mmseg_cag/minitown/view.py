# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Position and projection of the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Points are (x to the right, y up, z ahead) in metres, the camera stands at
# x = 0, z = 0.


@dataclass(frozen=True)
class View:
    """A pinhole camera looking down the street.

    Args:
        focal: Focal length as a share of the image width.
        horizon: Row of the horizon as a share of the image height.
        centre: Column of the vanishing point as a share of the width.
        height: Height of the camera above the road in metres.
    """

    focal: float
    horizon: float
    centre: float
    height: float

    def project(self, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Project points (..., 3) to pixels (..., 2) as (column, row).

        Args:
            points: World points in metres, all in front of the camera.
            size: Height and width of the canvas in pixels.
        """
        rows, columns = size
        scale = self.focal * columns / points[..., 2]
        pixels = np.empty((*points.shape[:-1], 2))
        pixels[..., 0] = self.centre * columns + scale * points[..., 0]
        pixels[..., 1] = self.horizon * rows + scale * (
            self.height - points[..., 1]
        )
        return pixels

    def nearest_ground(self, size: tuple[int, int]) -> float:
        """Return the depth in metres of the road at the lower image edge."""
        rows, columns = size
        below = (1 - self.horizon) * rows
        return self.focal * columns * self.height / below
