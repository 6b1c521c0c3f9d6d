# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Figure 2: what networks predict for the same images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .style import WIDTH, class_legend, figure, save, show_image


def save_panel_figure(
    path: Path,
    titles: Sequence[str],
    rows: Sequence[Sequence[np.ndarray]],
    classes: Sequence[str],
    palette: Sequence,
) -> list[Path]:
    """Draw rows of images side by side above a legend of classes.

    Args:
        path: Without the endings.
        titles: Title of each column.
        rows: Images (H, W, 3) uint8, RGB, one a column.
        classes: Names of the classes.
        palette: Their colours (red, green, blue), 0 to 255.
    """
    height, width = rows[0][0].shape[:2]
    cell = WIDTH / len(titles)
    with figure((cell * height / width + 0.01) * len(rows) + 0.58) as drawn:
        axes = drawn.subplots(len(rows), len(titles), squeeze=False)
        for row, images in zip(axes, rows, strict=True):
            for axis, image in zip(row, images, strict=True):
                show_image(axis, image)
        for axis, title in zip(axes[0], titles, strict=True):
            axis.set_title(title)
        class_legend(drawn, classes, palette, 'void')
        return save(drawn, path)
