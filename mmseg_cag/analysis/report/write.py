# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Write the report of some runs as a self-contained page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from rich.console import Console

from mmseg_cag.analysis.model_selection.choose import (
    IS_HIGHER_BETTER,
    TITLES,
)
from mmseg_cag.errors import MissingFileError
from mmseg_cag.progress import track
from mmseg_cag.version import __version__

from .charts import draw_miou
from .measure import measure
from .networks import list_networks
from .run import read_run
from .view import RunView, make_view

IMAGES = 24  # validation images to compute missing values on
SHOWN = 6  # of these in the gallery
# Sections of the page in order: name of the element -> title.
SECTIONS = {
    'gallery': 'Gallery',
    'runs': 'What ran',
    'alarms': 'Alarms',
    'miou': 'mIoU',
    'classes': 'Classes',
    'confusion': 'Confusion',
    'labels': 'Pseudo labels',
    'anchors': 'Anchors',
    'unknown': 'Unknown',
    'losses': 'Losses',
    'choice': 'Choice without labels',
    'gap': 'Is it worth it?',
}


def write_report(
    folders: Sequence[Path],
    out: Path,
    images: int = IMAGES,
    gap: Path | None = None,
) -> Path:
    """Write one HTML file about the runs of some work dirs.

    Args:
        folders: The work dirs.
        out: The output file; replaced if it exists.
        images: Number of validation images to compute unrecorded values.
        gap: File of tools/check_gap.py; None uses those in the work dirs.

    Returns:
        The file.

    Raises:
        MissingFileError: A work dir or the file does not exist.
        UserError: A folder contains no run.
    """
    if gap and not gap.is_file():
        raise MissingFileError(
            f'{gap}: not found, expected gap.json of tools/check_gap.py'
        )
    names = name_runs(folders)
    runs = [read_run(f, n) for f, n in zip(folders, names, strict=True)]
    views: list[RunView] = []
    for number, run in enumerate(runs, start=1):
        measured = measure(
            run, list_networks(run), images, min(images, SHOWN), show_progress
        )
        views.append(make_view(run, measured, number, gap))
    out.parent.mkdir(parents=True, exist_ok=True)
    # File names that are no valid UTF-8 are shown with replacement marks.
    out.write_text(render(views), encoding='utf-8', errors='replace')
    return out


def name_runs(folders: Sequence[Path]) -> list[str]:
    """Name runs by their folders, with parents where those are equal."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(part[-depth:]) for part in parts]
        if len({*names}) == len({*parts}):
            break
    return names


def show_progress(items: Sequence[int], title: str) -> Iterator[int]:
    """Show a progress bar on the error stream."""
    yield from track(items, title, console=Console(stderr=True))


def render(views: Sequence[RunView]) -> str:
    """Render the page of some runs, with escaped names."""
    environment = _environment()
    read = environment.loader.get_source
    return environment.get_template('page.html').render(
        views=views,
        sections=SECTIONS,
        score_titles={name: TITLES[name] for name in IS_HIGHER_BETTER},
        choice_titles=TITLES,
        miou=draw_miou([(view.run, view.measured) for view in views]),
        version=__version__,
        plotly=Markup(get_plotlyjs()),
        style=Markup(read(environment, 'style.css')[0]),
        script=Markup(read(environment, 'script.js')[0]),
    )


@cache
def _environment() -> Environment:
    """Make the template environment, once."""
    environment = Environment(
        loader=PackageLoader('mmseg_cag.analysis.report'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters['signed'] = lambda v: f'{v:+.1f}'.replace('-', '−')
    return environment
