# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Assemble all that the page shows of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from mmengine.config import Config

from mmseg_cag.analysis.runs.run import find_start_checkpoint
from mmseg_cag.fileio.json_file import numbers, read_object
from mmseg_cag.launch.stages import walk

from .anchors import Geometry, computed_geometry, recorded_geometry
from .charts import (
    draw_confusion,
    draw_coverage,
    draw_distances,
    draw_gaps,
    draw_losses,
    draw_shares,
)
from .class_tables import (
    ClassTable,
    LabelTable,
    make_label_table,
    make_table,
)
from .gap import GAP, GapView, read_gap
from .measure import Measured
from .pictures import Panel, UnknownView, make_panels, show_unknown
from .run import RecordedRun

SCORES = 'scores.json'


@dataclass(frozen=True)
class RunView:
    """View of a run on the page; None for unrecorded values."""

    run: RecordedRun
    measured: Measured
    facts: dict[str, str | None]
    table: ClassTable | None
    labels: LabelTable | None
    geometry: list[Geometry]
    panels: list[Panel]
    unknown: UnknownView | None
    choices: dict
    gap: GapView | None
    charts: dict[str, Markup | None]

    @property
    def config(self) -> str:
        """Return the text of the run's config."""
        return self.run.cfg.text


def make_view(
    run: RecordedRun,
    measured: Measured,
    number: int,
    gap: Path | None = None,
) -> RunView:
    """Assemble the view of a run.

    Args:
        run: The run.
        measured: Values computed from it.
        number: Its number on the page, from 1.
        gap: File of tools/check_gap.py to use instead of the run's own.
    """
    classes = run.classes
    geometry = recorded_geometry(run.anchors, classes) or computed_geometry(
        measured.anchors, classes
    )
    return RunView(
        run=run,
        measured=measured,
        facts=list_facts(run),
        table=make_table(measured, classes),
        labels=make_label_table(run, measured),
        geometry=geometry,
        panels=make_panels(measured, run.metainfo.get('palette') or []),
        unknown=show_unknown(measured.unknown),
        choices=read_choices(run),
        gap=read_gap(gap or run.folder / GAP, run.problems),
        charts={
            'confusion': draw_confusion(
                run, measured, f'chart-confusion-{number}'
            ),
            'shares': draw_shares(run, f'chart-shares-{number}'),
            'coverage': draw_coverage(run, f'chart-coverage-{number}'),
            'gaps': draw_gaps(run, f'chart-gaps-{number}'),
            'anchors': draw_distances(
                run, geometry, f'chart-anchors-{number}'
            ),
            'losses': draw_losses(run, f'chart-losses-{number}'),
        },
    )


def read_choices(run: RecordedRun) -> dict:
    """Read the scores computed without labels, if any."""
    content = read_object(run.folder / SCORES, run.problems)
    scores = content.get('scores')
    choices = content.get('choices')
    return {
        'scores': [s for s in scores if isinstance(s, dict)]
        if isinstance(scores, list)
        else [],
        'choices': {k: c for k, c in choices.items() if isinstance(c, dict)}
        if isinstance(choices, dict)
        else {},
    }


def list_facts(run: RecordedRun) -> dict[str, str | None]:
    """List the facts of a run, None if unknown."""
    return {
        'State': describe_state(run),
        'Started from': text_of(
            find_start_checkpoint(run.folder, run.configs)
        ),
        'Method': method_of(run.cfg),
        'Stages': text_of(describe_stages(run)),
        'Seed': text_of(run.seed),
        'Data': describe_data(run.cfg),
        'Images of a batch': text_of(
            ((run.cfg or {}).get('train_dataloader') or {}).get('batch_size')
        ),
        'Classes': text_of(len(run.classes) or None),
        'Time': format_seconds(run.seconds),
        'GPU memory': describe_memory(run),
        'Versions': ', '.join(f'{k} {v}' for k, v in run.environment.items())
        or None,
        'Work dir': str(run.folder),
    }


def text_of(value: object) -> str | None:
    """Format a value, None if there is none."""
    return None if value is None else str(value)


def describe_state(run: RecordedRun) -> str:
    """Describe the progress of a run."""
    if not run.max_iters:
        return f'iteration {run.iteration}, of unknown length'
    if run.iteration >= run.max_iters:
        return f'finished, {run.max_iters} iterations'
    return f'at iteration {run.iteration} of {run.max_iters}, not finished'


def describe_stages(run: RecordedRun) -> str | None:
    """Describe the stages of a run."""
    if not run.stage_iters:
        return 'none'
    if not run.max_iters:
        return f'of {run.stage_iters} iterations'
    count = run.max_iters // run.stage_iters
    return f'{count} of {run.stage_iters} iterations'


def method_of(cfg: Config | None) -> str | None:
    """Name the segmentor and its backbone."""
    model = cfg.get('model') if cfg else None
    if not model:
        return None
    backbone = model.get('backbone', {}).get('type', '')
    return f'{model.get("type")} on {backbone}' if backbone else model['type']


def describe_data(cfg: Config | None) -> str | None:
    """List the training and evaluation datasets."""
    lines = []
    for name in ('train_dataloader', 'val_dataloader'):
        loader = (cfg or {}).get(name) or {}
        for node in walk(loader.get('dataset', {})):
            if 'data_root' in node:
                kind = 'validation' if name.startswith('val') else 'training'
                lines.append(f'{kind}: {node["type"]} ({node["data_root"]})')
    return '; '.join(lines) or None


def format_seconds(seconds: float | None) -> str | None:
    """Format a duration."""
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours} h {minutes} min' if hours else f'{minutes} min {rest} s'


def describe_memory(run: RecordedRun) -> str | None:
    """Find the peak GPU memory, which a CPU run does not log."""
    if run.environment.get('CUDA available') == 'False':
        return 'no GPU'
    used = [m for n in run.training if (m := numbers(n).get('memory'))]
    return f'{max(used) / 1024:.1f} GiB' if used else None
