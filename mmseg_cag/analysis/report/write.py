# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Write the report of some runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from mmseg_cag.progress import track

from .measure import measure
from .networks import list_networks
from .page import render
from .run import read_run
from .view import RunView, make_view

IMAGES = 24  # of the validation set, on which is computed what is missing
SHOWN = 6  # of them in the gallery


def write_report(
    folders: Sequence[Path], out: Path, images: int = IMAGES
) -> Path:
    """Write one HTML file about the runs of some work dirs.

    Args:
        folders: The work dirs.
        out: The file, replaced if it is there.
        images: Validation images to compute what was not recorded.

    Returns:
        The file.

    Raises:
        MissingFileError: There is no such work dir.
        UserError: One of them is none of a run.
    """
    names = name_runs(folders)
    runs = [read_run(f, n) for f, n in zip(folders, names, strict=True)]
    views: list[RunView] = []
    for number, run in enumerate(runs, start=1):
        measured = measure(
            run, list_networks(run), images, min(images, SHOWN), show_progress
        )
        views.append(make_view(run, measured, number))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(render(views), encoding='utf-8')
    return out


def name_runs(folders: Sequence[Path]) -> list[str]:
    """Call runs by their folders, with the parents where those are equal."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(part[-depth:]) for part in parts]
        if len({*names}) == len({*parts}):
            break
    return names


def show_progress(items: Sequence[int], title: str) -> Iterator[int]:
    """Show a progress bar on the error stream."""
    yield from track(items, title, console=Console(stderr=True))
