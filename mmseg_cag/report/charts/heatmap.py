# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from plotly import graph_objects as go

from .figure import make_figure, plain

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
