# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Pseudo labels of each class, as the monitor saw them."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from mmseg_cag.analysis.report.label_table import margins_of
from mmseg_cag.analysis.report.read_json import numbers
from mmseg_cag.analysis.report.run import RecordedRun

from .figure import mark_stages, plain, to_html
from .matrices import draw_heatmap

# legend: K classes, B bins


def draw_coverage(run: RecordedRun, name: str) -> Markup | None:
    """Draw the share of each class's pixels that are active."""
    looks = [look for stage in run.looks_by_stage.values() for look in stage]
    if not looks:
        return None
    shares = [numbers(look['coverage']) for look in looks]
    values = np.array(
        [[100 * s.get(c, np.nan) for s in shares] for c in run.classes]
    )
    hover = '%{y}<br>iteration %{x}<br>%{z:.1f} %<extra></extra>'
    # Looks are not evenly spaced: one more is where a stage begins.
    columns = [look['iter'] for look in looks]
    axes = ('iteration', '')
    figure = draw_heatmap(values, columns, run.classes, axes, hover)
    figure.data[0].update(xgap=0, zmin=0, zmax=100)
    mark_stages(figure, run.boundaries)
    return to_html(figure, name, f'Coverage of {run.name}')


def draw_gaps(run: RecordedRun, name: str) -> Markup | None:
    """Draw how clear the nearest anchor is, and the margin that cuts there.

    Of the looks of the last stage, as each class's share of its pixels.
    """
    stages = [*run.looks_by_stage.values()]
    looks = stages[-1] if stages else []
    found = [read_histogram(look, run.classes) for look in looks]
    known = [histogram for histogram in found if histogram]
    if not known:
        return None
    # A stage has one set of anchors, so one set of bins.
    edges = known[-1][0]
    counts = sum(c for e, c in known if np.array_equal(e, edges))
    totals = counts.sum(1, keepdims=True)
    shares = np.where(totals > 0, 100 * counts / np.maximum(totals, 1), np.nan)
    hover = '%{y}<br>gap %{x:.2f}<br>%{z:.1f} % of its pixels<extra></extra>'
    middle = (edges[1:] + edges[:-1]) / 2
    axes = ('gap', '')
    figure = draw_heatmap(shares, middle, run.classes, axes, hover)
    margins = margins_of(looks[-1], run.classes)
    figure.add_scatter(
        x=[*margins.values()],
        y=[plain(c) for c in margins],
        mode='markers',
        marker=dict(symbol='line-ns-open', size=16, color='#d55e00'),
        hovertemplate='%{y}<br>margin %{x:.3f}<extra></extra>',
    )
    return to_html(figure, name, f'Gaps between anchors of {run.name}')


def read_histogram(
    look: dict, classes: list[str]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Read a look's histogram of gaps.

    Returns:
        Edges (B + 1,) and counts (K, B); None where there is none.
    """
    try:
        record = look['margin_histogram']
        edges = np.array(record['edges'], float)
        counts = [record['counts'][name] for name in classes]
        counts = np.array(counts, float)
    except (KeyError, TypeError, ValueError):
        return None
    is_whole = counts.shape == (len(classes), len(edges) - 1)
    return (edges, counts) if is_whole else None
