# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Canvas painted in world coordinates, colour and label at once."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .classes import Label
from .styles import Colour, TownStyle
from .view import View

SHIFT = 4  # fractional bits of the positions handed to OpenCV
_ANGLES = np.linspace(0, 2 * np.pi, 16, endpoint=False)
CIRCLE = np.stack((np.cos(_ANGLES), np.sin(_ANGLES), 0 * _ANGLES), -1)


class Painter:
    """Fills projected shapes into an RGB + label canvas.

    The label is the fourth channel, so one fill writes both.

    Args:
        view: The camera.
        style: The town, for its light and colours.
        size: Height and width of the canvas in pixels.
        shadow: Ground offset (x, z) of a shadow per metre of height.
        rng: Random generator for small details.
    """

    def __init__(
        self,
        view: View,
        style: TownStyle,
        size: tuple[int, int],
        shadow: tuple[float, float],
        rng: np.random.Generator,
    ) -> None:
        self.view = view
        self.style = style
        self.size = size
        self.rng = rng
        self.pixels = np.zeros((*size, 4), np.uint8)
        sun = np.array((-shadow[0], 1.0, -shadow[1]))
        self.sun = sun / np.linalg.norm(sun)
        self._haze = np.array(style.light.haze, np.float64)

    def pick(self, choices: tuple) -> tuple:
        """Pick one of the choices."""
        return choices[self.rng.integers(len(choices))]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project world points (..., 3) to pixel positions (..., 2)."""
        return self.view.project(np.asarray(points, np.float64), self.size)

    def pixels_per_metre(self, z: float) -> float:
        """Return the image scale at depth z."""
        return self.view.focal * self.size[1] / z

    def lit(self, normal: tuple[float, float, float]) -> float:
        """Compute the brightness factor of a surface by its unit normal."""
        sun = self.style.light.sun
        facing = max(float(np.dot(normal, self.sun)), 0.0)
        # Even an overcast sky lights upward surfaces more than walls.
        return 1 - sun * 0.75 + sun * facing + 0.12 * (normal[1] - 0.4)

    def tone(
        self, colour: Colour | np.ndarray, z: float, light: float = 1.0
    ) -> np.ndarray:
        """Return the colour as seen through z metres of air."""
        clear = math.exp(-z / self.style.light.visibility)
        seen = np.asarray(colour, np.float64) * (light * clear)
        return np.minimum(seen + self._haze * (1 - clear), 255)

    def fill(
        self,
        points: np.ndarray,
        colour: Colour | np.ndarray,
        label: Label,
        light: float = 1.0,
    ) -> None:
        """Fill one polygon (N, 3) or several disjoint ones (M, N, 3)."""
        depths = points[..., 2].ravel()
        depth = float(depths.sum()) / len(depths)
        tone = self.tone(colour, depth, light)
        self.fill_pixels(self.project(points), tone, label)

    def fill_pixels(
        self, corners: np.ndarray, tone: np.ndarray, label: Label
    ) -> None:
        """Fill polygons (N, 2) or (M, N, 2) given in pixels."""
        polygons = _fixed(corners).reshape(-1, corners.shape[-2], 2)
        cv2.fillPoly(
            self.pixels,
            list(polygons),
            (*tone.tolist(), float(label)),
            cv2.LINE_8,
            SHIFT,
        )

    def disc(
        self,
        centre: tuple[float, float, float],
        radii: tuple[float, float],
        colour: Colour | np.ndarray,
        label: Label,
        light: float = 1.0,
    ) -> None:
        """Draw an upright ellipse facing the camera, radii in metres."""
        points = CIRCLE * (radii[0], radii[1], 0) + centre
        self.fill(points, colour, label, light)

    def bar(
        self,
        start: tuple[float, float, float],
        end: tuple[float, float, float],
        width: float,
        colour: Colour | np.ndarray,
        label: Label,
        light: float = 1.0,
    ) -> None:
        """Draw a straight bar facing the camera, width in metres."""
        ends = np.array((start, end), np.float64)
        along = self.project(ends)
        scale = self.pixels_per_metre(1.0) / ends[:, 2]
        direction = along[1] - along[0]
        length = np.hypot(*direction)
        if length < 1e-6:
            return
        across = np.array((-direction[1], direction[0])) / length
        half = np.outer(width * scale / 2, across)
        corners = np.concatenate((along - half, (along + half)[::-1]))
        tone = self.tone(colour, float(ends[:, 2].mean()), light)
        self.fill_pixels(corners, tone, label)

    def glaze(
        self, points: np.ndarray, colour: Colour, alpha: float, label: Label
    ) -> None:
        """Label a polygon (N, 3) but let the background shine through."""
        corners = self.project(points)
        low = np.floor(corners.min(0)).astype(int)
        high = np.ceil(corners.max(0)).astype(int) + 1
        low = np.maximum(low, 0)
        high = np.minimum(high, (self.size[1], self.size[0]))
        if (high <= low).any():
            return
        window = self.pixels[low[1] : high[1], low[0] : high[0]]
        mask = np.zeros(window.shape[:2], np.uint8)
        cv2.fillPoly(mask, [_fixed(corners - low)], 1, cv2.LINE_8, SHIFT)
        inside = mask > 0
        tone = self.tone(colour, float(np.mean(points[..., 2])))
        mixed = window[inside, :3] * (1 - alpha) + tone * alpha
        window[inside, :3] = mixed.astype(np.uint8)
        window[inside, 3] = label


def _fixed(corners: np.ndarray) -> np.ndarray:
    """Convert to fixed-point positions for OpenCV's `shift` argument."""
    # OpenCV counts from pixel centres, the projection from pixel corners.
    return np.rint((corners - 0.5) * (1 << SHIFT)).astype(np.int32)
