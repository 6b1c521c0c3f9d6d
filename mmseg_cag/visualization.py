# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# legend: H W image


def colorize(
    labels: np.ndarray, palette: Sequence, ignored: int = 0
) -> np.ndarray:
    """Colour a class map.

    Args:
        labels: Class map (H, W) of integers.
        palette: A colour (red, green, blue), 0 to 255, for each class.
        ignored: Grey value of labels beyond the palette.

    Returns:
        Image (H, W, 3) uint8, RGB.
    """
    colours = np.full((256, 3), ignored, np.uint8)
    colours[: len(palette)] = palette
    return colours[labels]
