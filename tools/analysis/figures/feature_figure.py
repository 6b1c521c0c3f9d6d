# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The motivation figure: features of both domains around the anchors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from .features import Panel
from .style import GREY, WIDTH, figure, save

# legend: P pixels, K classes


NO_CLASS = [128] * 3  # colour of unlabelled pixels
MARKS = {
    'source': dict(marker='o', s=5, linewidths=0, alpha=0.55),
    'target': dict(marker='x', s=8, linewidths=0.7, alpha=0.9),
}


def save_feature_figure(
    path: Path,
    panels: Sequence[Panel],
    classes: Sequence[str],
    palette: Sequence,
) -> list[Path]:
    """Draw the panels side by side, in the same coordinates.

    Args:
        path: Without suffix.
        panels: One for each network.
        classes: Names of the K classes.
        palette: Their colours (red, green, blue), 0 to 255.
    """
    colours = np.divide([*palette, NO_CLASS], 255)
    low, high = _frame(panels)
    width, height = high - low
    cell = WIDTH / 2
    size = cell * height / width + 0.55, cell * len(panels)
    with figure(*size) as drawn:
        axes = drawn.subplots(1, len(panels), squeeze=False)[0]
        for axis, panel in zip(axes, panels, strict=True):
            _draw_pixels(axis, panel, colours)
            _draw_anchors(axis, panel.anchors, classes, colours[:-1])
            axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
            axis.set(xticks=[], yticks=[], title=panel.title)
            axis.spines[:].set(visible=True, color='#888888', linewidth=0.4)
        drawn.legend(handles=_handles(), loc='outside lower center', ncols=3)
        return save(drawn, path)


def _frame(panels: Sequence[Panel]) -> np.ndarray:
    """Compute the bounding box of all points: both corners (2, 2)."""
    places = np.concatenate(
        [
            part
            for panel in panels
            for part in (
                panel.anchors,
                *(positions for positions, _ in panel.domains.values()),
            )
        ]
    )
    low, high = np.nanmin(places, 0), np.nanmax(places, 0)
    # Names of anchors may extend beyond the points.
    return np.stack([low, high]) + 0.08 * (high - low) * [[-1], [1]]


def _draw_pixels(axis: Axes, panel: Panel, colours: np.ndarray) -> None:
    for name, (positions, labels) in panel.domains.items():
        # Thousands of points: rasterize them in the PDF.
        axis.scatter(
            *positions.T, c=colours[labels], rasterized=True, **MARKS[name]
        )


def _draw_anchors(
    axis: Axes, places: np.ndarray, classes: Sequence[str], colours: np.ndarray
) -> None:
    known = ~np.isnan(places).any(1)
    axis.scatter(
        *places[known].T,
        marker='*',
        s=90,
        c=colours[known],
        edgecolors='black',
        linewidths=0.6,
        zorder=4,
    )
    own = [classes[k] for k in np.flatnonzero(known)]
    sides = place_labels(places[known], own)
    for place, name, (right, up) in zip(
        places[known], own, sides, strict=True
    ):
        axis.annotate(
            name,
            place,
            (6 * right, 6 * up),
            textcoords='offset points',
            ha=('center', 'left', 'right')[right],
            va=('center', 'bottom', 'top')[up],
            fontsize=7,
            path_effects=[withStroke(linewidth=1.8, foreground='white')],
            zorder=5,
        )


def _handles() -> list[Line2D]:
    common = dict(linestyle='', color=GREY)
    return [
        Line2D([], [], marker='o', markersize=3.5, label='source', **common),
        Line2D([], [], marker='x', markersize=4.5, label='target', **common),
        Line2D(
            [],
            [],
            marker='*',
            markersize=9,
            markeredgecolor='black',
            markeredgewidth=0.6,
            label='anchor',
            **common,
        ),
    ]


# Half sizes of a star and of a letter, and the gap between a star's middle and
# its name, in units of the embedding, which is within 1 of 0.
STAR = np.array((0.04, 0.04))
LETTER = np.array((0.016, 0.03))
GAP = 0.05

SIDES = (
    *((0, 1), (0, -1), (1, 0), (-1, 0)),
    *((1, 1), (-1, 1), (1, -1), (-1, -1)),
)


class Box(NamedTuple):
    """A rectangle.

    Attributes:
        middle: Its middle (2,).
        size: Half its width and height (2,).
    """

    middle: np.ndarray
    size: np.ndarray

    def meets(self, other: Box) -> bool:
        """Return whether it overlaps another box."""
        apart = np.abs(self.middle - other.middle)
        return bool((apart < self.size + other.size).all())


def place_labels(
    places: np.ndarray, names: Sequence[str]
) -> list[tuple[int, int]]:
    """Place each star's name on the side with the fewest overlaps.

    Args:
        places: Where the stars are (K, 2).
        names: Their names.

    Returns:
        The sides (right, up), of -1, 0 and 1.
    """
    stars = [Box(place, STAR) for place in places]
    taken: list[Box] = []
    sides = []
    for k, name in enumerate(names):
        size = LETTER * (len(name), 1)
        others = [*stars[:k], *stars[k + 1 :], *taken]
        boxes = [Box(places[k] + (GAP + size) * side, size) for side in SIDES]
        met = [sum(box.meets(other) for other in others) for box in boxes]
        best = int(np.argmin(met))
        sides.append(SIDES[best])
        taken.append(boxes[best])
    return sides
