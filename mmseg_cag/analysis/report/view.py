# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""All that the page shows of a run."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from mmseg_cag.fileio.json_file import read_object

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
from .facts import list_facts
from .measure import Measured
from .pictures import Panel, make_panels
from .run import RecordedRun

SCORES = 'scores.json'


@dataclass(frozen=True)
class RunView:
    """What the page shows of a run; None is what was not recorded."""

    run: RecordedRun
    measured: Measured
    facts: dict[str, str | None]
    table: ClassTable | None
    labels: LabelTable | None
    geometry: list[Geometry]
    panels: list[Panel]
    choices: dict
    charts: dict[str, Markup | None]

    @property
    def config(self) -> str:
        """The text of the run's config, without the file's name."""
        return self.run.cfg.text.partition('\n')[2]


def make_view(run: RecordedRun, measured: Measured, number: int) -> RunView:
    """Assemble what is shown of the run with this number in the page."""
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
        choices=read_choices(run),
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
    """Read the scores that were computed without labels, if any were."""
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
