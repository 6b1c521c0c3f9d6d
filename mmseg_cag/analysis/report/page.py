# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Put the page together: one file that needs no other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from mmseg_cag.analysis.model_selection.choose import IS_HIGHER_BETTER
from mmseg_cag.analysis.model_selection.render import TITLES as CHOICES
from mmseg_cag.analysis.report.charts.curves import draw_miou
from mmseg_cag.version import __version__

from .view import RunView

# What the page can show of any run, in order: name of the element -> title.
SECTIONS = {
    'gallery': 'Gallery',
    'runs': 'What ran',
    'alarms': 'Alarms',
    'miou': 'mIoU',
    'classes': 'Classes',
    'confusion': 'Confusion',
    'labels': 'Pseudo labels',
    'anchors': 'Anchors',
    'losses': 'Losses',
    'choice': 'Choice without labels',
}


def render(views: Sequence[RunView]) -> str:
    """Render the page of some runs, what they are called being escaped."""
    environment = _environment()
    read = environment.loader.get_source
    return environment.get_template('page.html').render(
        views=views,
        sections=SECTIONS,
        score_titles={name: CHOICES[name] for name in IS_HIGHER_BETTER},
        choice_titles=CHOICES,
        miou=draw_miou([(view.run, view.measured) for view in views]),
        version=__version__,
        plotly=Markup(get_plotlyjs()),
        style=Markup(read(environment, 'style.css')[0]),
        script=Markup(read(environment, 'script.js')[0]),
    )


@cache
def _environment() -> Environment:
    """Make what compiles the templates, each once."""
    environment = Environment(
        loader=PackageLoader('mmseg_cag.analysis.report'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters['signed'] = lambda v: f'{v:+.1f}'.replace('-', '−')
    return environment
