# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What is told of each pair of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from plotly import graph_objects as go

from .figure import make_figure, plain, to_html

BLUES = [[0, '#f4f7fa'], [0.25, '#a9c8e2'], [0.6, '#3d7fb6'], [1, '#0b2f57']]

# legend: K classes, X columns


def draw_heatmap(
    values: np.ndarray,
    columns: Sequence,
    classes: Sequence[str],
    axes: tuple[str, str],
    hover: str,
) -> go.Figure:
    """Draw a row of coloured cells for each class.

    Args:
        values: (K, X); cells that are not a number stay empty.
        columns: Where each column is.
        classes: Names of the K rows.
        axes: Titles.
        hover: What is said of a cell, in plotly's notation.
    """
    figure = make_figure(*axes, height=480)
    figure.add_heatmap(
        z=[[None if np.isnan(v) else float(v) for v in r] for r in values],
        x=list(columns),
        y=[plain(c) for c in classes],
        colorscale=BLUES,
        hovertemplate=hover,
        xgap=1,
        ygap=1,
        colorbar=dict(thickness=8, outlinewidth=0),
    )
    figure.update_yaxes(autorange='reversed', showgrid=False, dtick=1)
    figure.update_xaxes(showgrid=False)
    return figure


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
