# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What changes with the iterations."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mmseg_cag.analysis.report.measure import Measured
from mmseg_cag.analysis.report.read_json import numbers
from mmseg_cag.analysis.report.run import RecordedRun

from .figure import COLOURS, make_figure, mark_stages, plain, to_html

SHARES = ('active', 'agreement', 'kappa', 'followed')


def draw_miou(pairs: Sequence[tuple[RecordedRun, Measured]]) -> Markup | None:
    """Draw each run's mIoU, from the network that it started from."""
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
    boundaries = [run.boundaries for run, _ in pairs]
    mark_stages(figure, max(boundaries, key=len))
    figure.update_layout(showlegend=True)
    return to_html(figure, 'chart-miou', 'mIoU over the iterations')


def known_points(run: RecordedRun, measured: Measured) -> dict[int, float]:
    """List mIoU by iteration, the start of the run at 0.

    What was recorded is of all images, what was computed of a few: the two
    are not put on one line.
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
    }


def draw_losses(run: RecordedRun, name: str) -> Markup | None:
    """Draw all losses of a run."""
    keys = sorted({k for line in run.training for k in line if 'loss' in k})
    return _draw(run, run.training, keys, name, 'loss', 'Losses')


def draw_shares(run: RecordedRun, name: str) -> Markup | None:
    """Draw the share of active pixels and the agreement with the labeler."""
    keys = [k for k in SHARES if any(k in line for line in run.monitor)]
    if keys:
        return _draw(run, run.monitor, keys, name, 'share', 'Active pixels')
    keys = sorted({k for n in run.training for k in n if '.active' in k})
    return _draw(run, run.training, keys, name, 'share', 'Active pixels')


def _draw(
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
    mark_stages(figure, run.boundaries)
    figure.update_layout(showlegend=True)
    return to_html(figure, name, f'{label} of {run.name}')
