# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What is told of each pair of classes."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from .figure import plain, to_html
from .heatmap import draw_heatmap

# legend: K classes


def draw_confusion(
    counts: np.ndarray, classes: list[str], name: str, label: str
) -> Markup:
    """Draw what the pixels of each true class are predicted as, in percent.

    Args:
        counts: Pixels (K, K), rows truth, columns prediction.
        classes: Names of the classes.
        name: Of the element.
        label: What it shows.
    """
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(
        100 * counts,
        totals,
        out=np.full(counts.shape, np.nan),
        where=totals > 0,
    )
    hover = 'truth %{y}<br>prediction %{x}<br>%{z:.1f} %<extra></extra>'
    return _draw(shares, classes, ('prediction', 'truth'), name, label, hover)


def draw_distances(
    distances: np.ndarray, classes: list[str], name: str, label: str
) -> Markup:
    """Draw the distances (K, K) between anchors."""
    shown = distances.copy()
    np.fill_diagonal(shown, np.nan)
    hover = '%{y} to %{x}<br>%{z:.3f}<extra></extra>'
    return _draw(shown, classes, ('anchor', 'anchor'), name, label, hover)


def _draw(
    values: np.ndarray,
    classes: list[str],
    axes: tuple[str, str],
    name: str,
    label: str,
    hover: str,
) -> Markup:
    columns = [plain(c) for c in classes]
    figure = draw_heatmap(values, columns, classes, axes, hover)
    figure.update_xaxes(tickangle=-90, dtick=1)
    return to_html(figure, name, label)
