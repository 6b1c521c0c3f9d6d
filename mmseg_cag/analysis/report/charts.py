# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Charts of the report, each an HTML fragment drawn by plotly.

The page's style sheet colours text and lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from markupsafe import Markup
from plotly import graph_objects as go

from mmseg_cag.fileio.json_file import numbers

from .anchors import Geometry
from .class_tables import margins_of
from .measure import Measured
from .run import RecordedRun

CLEAR = 'rgba(0,0,0,0)'
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'
# Okabe and Ito's palette, safe for colour-blind readers; only colours visible
# on both black and white.
COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9')
CONFIG = dict(displaylogo=False, responsive=True, displayModeBar=False)
SHARES = ('active', 'agreement', 'kappa', 'followed')
BLUES = [[0, '#f4f7fa'], [0.25, '#a9c8e2'], [0.6, '#3d7fb6'], [1, '#0b2f57']]

# legend: K classes, X columns, B bins


def make_figure(x: str, y: str, height: int = 320) -> go.Figure:
    """Make an empty chart with axis titles."""
    return go.Figure(
        layout=dict(
            template='none',
            height=height,
            font=dict(family=FONT, size=12),
            colorway=COLOURS,
            paper_bgcolor=CLEAR,
            plot_bgcolor=CLEAR,
            margin=dict(l=48, r=12, t=28, b=12),
            hovermode='closest',
            # Below the axis title, wherever that ends.
            legend=dict(
                orientation='h',
                yref='container',
                y=0,
                yanchor='bottom',
            ),
            xaxis=dict(title=x, zeroline=False, automargin=True),
            yaxis=dict(title=y, zeroline=False, automargin=True),
        )
    )


def to_html(figure: go.Figure, name: str, label: str) -> Markup:
    """Render a chart; the page contains plotly's script once.

    Args:
        figure: The chart.
        name: Element id, unique in the page.
        label: Description for screen readers.
    """
    chart = figure.to_html(
        full_html=False, include_plotlyjs=False, config=CONFIG, div_id=name
    )
    frame = Markup('<div class="chart" role="img" aria-label="{}">{}</div>')
    return frame.format(label, Markup(chart))


def plain(text: str) -> str:
    """Escape a name so that plotly does not read it as markup."""
    return escape(text)


def mark_stages(figure: go.Figure, run: RecordedRun) -> None:
    """Mark the end of each stage."""
    for stage, end in enumerate(run.boundaries, start=run.first_stage):
        figure.add_vline(
            x=end,
            line=dict(width=1, dash='dot', color='#888'),
            annotation=dict(
                text=f'stage {stage}', xanchor='right', yanchor='bottom', y=1
            ),
        )


def draw_miou(pairs: Sequence[tuple[RecordedRun, Measured]]) -> Markup | None:
    """Draw each run's mIoU, including the network it started from."""
    figure = make_figure('iteration', 'mIoU, %', height=360)
    for index, (run, measured) in enumerate(pairs):
        points = known_points(run, measured)
        figure.add_scatter(
            x=sorted(points),
            y=[points[x] for x in sorted(points)],
            name=plain(run.name),
            mode='lines+markers',
            line=dict(width=2, color=COLOURS[index % len(COLOURS)]),
            marker=dict(size=8),
        )
    if not any(trace.x for trace in figure.data):
        return None
    runs = [run for run, _ in pairs]
    mark_stages(figure, max(runs, key=lambda run: len(run.boundaries)))
    figure.update_layout(showlegend=True)
    return to_html(figure, 'chart-miou', 'mIoU over the iterations')


def known_points(run: RecordedRun, measured: Measured) -> dict[int, float]:
    """List the mIoU by iteration; the start of the run is at 0.

    Recorded values cover all images, computed ones a few: the two never share
    a line.
    """
    recorded = dict(run.mean_iou)
    start = measured.start
    if recorded:
        if start and 'mIoU' in start.validation:
            recorded[0] = start.validation['mIoU']
        return recorded
    return {
        0 if network.is_start else network.iteration: score.mean
        for network in measured.networks
        if (score := measured.scores.get(network.title))
        and not score.is_recorded
    }


def draw_losses(run: RecordedRun, name: str) -> Markup | None:
    """Draw all losses of a run."""
    keys = sorted({k for line in run.training for k in line if 'loss' in k})
    return _draw_lines(run, run.training, keys, name, 'loss', 'Losses')


def draw_shares(run: RecordedRun, name: str) -> Markup | None:
    """Draw the share of active pixels and the agreement with the teacher."""
    keys = [k for k in SHARES if any(k in line for line in run.monitor)]
    if keys:
        lines = run.monitor
    else:
        lines = run.training
        keys = sorted({k for line in lines for k in line if '.active' in k})
    return _draw_lines(run, lines, keys, name, 'share', 'Active pixels')


def _draw_lines(
    run: RecordedRun,
    lines: list[dict],
    keys: list[str],
    name: str,
    unit: str,
    label: str,
) -> Markup | None:
    if not keys:
        return None
    figure = make_figure('iteration', unit)
    for key in keys:
        known = [line for line in lines if key in numbers(line)]
        figure.add_scatter(
            x=[line['iter'] for line in known],
            y=[line[key] for line in known],
            name=plain(key),
            mode='lines+markers' if len(known) < 20 else 'lines',
            line=dict(width=1.5),
        )
    mark_stages(figure, run)
    figure.update_layout(showlegend=True)
    return to_html(figure, name, f'{label} of {run.name}')


def draw_heatmap(
    values: np.ndarray,
    columns: Sequence,
    classes: Sequence[str],
    axes: tuple[str, str],
    hover: str,
) -> go.Figure:
    """Draw a row of coloured cells for each class.

    Args:
        values: (K, X); NaN cells stay empty.
        columns: Positions of the columns.
        classes: Names of the K rows.
        axes: Axis titles.
        hover: Hover text of a cell, in plotly's notation.
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
    run: RecordedRun, measured: Measured, name: str
) -> Markup | None:
    """Draw the row-normalised confusion matrix, in percent.

    Of the last network, if its pixels were counted.
    """
    last = measured.last
    score = measured.scores.get(last.title) if last else None
    if score is None or score.confusion is None:
        return None
    figure = _draw_pairs(
        _row_percent(score.confusion),
        run.classes,
        ('prediction', 'ground truth'),
        'ground truth %{y}<br>prediction %{x}<br>%{z:.1f} %<extra></extra>',
    )
    label = f'Confusion matrix of {run.name}, {last.title}'
    return to_html(figure, name, label)


def draw_distances(
    run: RecordedRun, geometry: list[Geometry], name: str
) -> Markup | None:
    """Draw the distances between anchors of the last stage with anchors."""
    if not geometry:
        return None
    shown = geometry[-1].distances.copy()
    np.fill_diagonal(shown, np.nan)
    hover = '%{y} to %{x}<br>%{z:.3f}<extra></extra>'
    figure = _draw_pairs(shown, run.classes, ('anchor', 'anchor'), hover)
    label = f'Distances between anchors of {run.name}, {geometry[-1].title}'
    return to_html(figure, name, label)


def _row_percent(counts: np.ndarray) -> np.ndarray:
    """Divide counts (K, X) by their row's sum; NaN in empty rows."""
    totals = counts.sum(1, keepdims=True)
    return np.where(totals > 0, 100 * counts / np.maximum(totals, 1), np.nan)


def _draw_pairs(
    values: np.ndarray, classes: list[str], axes: tuple[str, str], hover: str
) -> go.Figure:
    columns = [plain(c) for c in classes]
    figure = draw_heatmap(values, columns, classes, axes, hover)
    figure.update_xaxes(tickangle=-90, dtick=1)
    return figure


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
    # Records are not evenly spaced: each stage adds one at its start.
    columns = [look['iter'] for look in looks]
    axes = ('iteration', '')
    figure = draw_heatmap(values, columns, run.classes, axes, hover)
    figure.data[0].update(xgap=0, zmin=0, zmax=100)
    mark_stages(figure, run)
    return to_html(figure, name, f'Coverage of {run.name}')


def draw_gaps(run: RecordedRun, name: str) -> Markup | None:
    """Draw the gaps between the two nearest anchors, and the margin.

    From the last stage's records, as shares of each class's pixels.
    """
    stages = [*run.looks_by_stage.values()]
    looks = stages[-1] if stages else []
    found = [read_histogram(look, run.classes) for look in looks]
    known = [histogram for histogram in found if histogram]
    if not known:
        return None
    # Each stage has one set of anchors, so one set of bins.
    edges = known[-1][0]
    counts = sum(c for e, c in known if np.array_equal(e, edges))
    shares = _row_percent(counts)
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
    """Read a record's histogram of gaps.

    Returns:
        Edges (B + 1,) and counts (K, B); None if missing.
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
