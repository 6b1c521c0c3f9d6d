# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What all charts share; the page's style sheet colours text and lines."""

from __future__ import annotations

from html import escape

from markupsafe import Markup
from plotly import graph_objects as go

CLEAR = 'rgba(0,0,0,0)'
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'
# Okabe and Ito's, told apart by the colour-blind, those that show on both
# black and white.
COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9')
CONFIG = dict(displaylogo=False, responsive=True, displayModeBar=False)


def make_figure(x: str, y: str, height: int = 320) -> go.Figure:
    """Make an empty chart with titles of its axes."""
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
            # Below the title of the axis, wherever that ends.
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
    """Write a chart; plotly's program is in the page once.

    Args:
        figure: The chart.
        name: Of the element, unique in the page.
        label: What it shows, for those who hear the page.
    """
    chart = figure.to_html(
        full_html=False, include_plotlyjs=False, config=CONFIG, div_id=name
    )
    frame = Markup('<div class="chart" role="img" aria-label="{}">{}</div>')
    return frame.format(label, Markup(chart))


def plain(text: str) -> str:
    """Keep plotly from reading a name as its own markup."""
    return escape(text)


def mark_stages(figure: go.Figure, boundaries: list[int]) -> None:
    """Draw where each stage ended."""
    for stage, end in enumerate(boundaries, start=1):
        figure.add_vline(
            x=end,
            line=dict(width=1, dash='dot', color='#888'),
            annotation=dict(
                text=f'stage {stage}', xanchor='right', yanchor='bottom', y=1
            ),
        )
