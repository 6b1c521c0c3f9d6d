# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw flat figures: shapes in the plane of an object."""

from __future__ import annotations

import numpy as np

from .classes import Label
from .painter import CIRCLE, Painter
from .solids import Frame


class Figure:
    """Draws in the plane of an object: (s sideways or forward, y up)."""

    def __init__(
        self, painter: Painter, frame: Frame, label: Label, facing: bool
    ) -> None:
        self.painter, self.frame, self.label = painter, frame, label
        self.facing = facing

    def lift(self, flat: np.ndarray | tuple) -> np.ndarray:
        """Map points (N, 2) of the plane to world points (N, 3)."""
        s, y = np.array(flat, np.float64).T
        if not self.facing:
            return self.frame.lift(s, y, 0.0)
        x, z = self.frame.ground
        scale = self.frame.scale
        return np.stack((x + scale * s, scale * y, np.full_like(s, z)), -1)

    def limb(
        self,
        path: np.ndarray | tuple,
        width: float,
        colour: np.ndarray | tuple,
        light: float = 1.0,
    ) -> None:
        """Draw a polyline with a width in metres."""
        points = self.lift(path)
        width = width * self.frame.scale
        for start, end in zip(points[:-1], points[1:], strict=True):
            self.painter.bar(start, end, width, colour, self.label, light)

    def blob(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        colour: np.ndarray | tuple,
        light: float = 1.0,
    ) -> None:
        """Fill an ellipse in the plane."""
        self.shape(CIRCLE[:, :2] * radii + centre, colour, light)

    def shape(
        self,
        corners: np.ndarray | tuple,
        colour: np.ndarray | tuple,
        light: float = 1.0,
    ) -> None:
        """Fill a polygon in the plane."""
        self.painter.fill(self.lift(corners), colour, self.label, light)
