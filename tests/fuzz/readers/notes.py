# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tables.finished_run import read_run

from mmseg_cag.data_check.consistency import never_drawn
from mmseg_cag.datasets.inspection.drawing_record import MANIFEST
from mmseg_cag.datasets.pseudo_label_metadata import METADATA as LABELS
from mmseg_cag.datasets.transforms.load_translated_image import (
    METADATA,
    _check_metadata,
)
from mmseg_cag.engine.records.result_summary_hook import NOTES
from mmseg_cag.inference.demo.show import read_origin
from mmseg_cag.minitown.manifest import is_complete
from mmseg_cag.minitown.plan import Plan
from mmseg_cag.minitown.step import Step
from mmseg_cag.workflows.pseudo_labels.select_confident import LabelFolder
from tests import tiny

from .reader import Reader

TOWN = {'size': [64, 128], 'source': 2, 'target': 2, 'val': 1, 'synthia': 1}
TOWN['seed'] = 0
SHARES = {town: {'road': 1.0} for town in ('source', 'target', 'val')}
MANIFEST_NOTE = {
    'version': 2,
    'arguments': TOWN,
    'pixel_shares': {**SHARES, 'synthia': {}},
}


def readers(scratch: Path) -> Iterator[Reader]:
    """The readers of notes in JSON, and of a run's dumped config."""
    cfg = tiny.run_config(scratch, scratch)
    config = cfg.pretty_text.encode()
    results = {'3': {'mIoU': 40.0}, '6': {'mIoU': 41.5, 'IoU.road': 90.0}}
    yield note('read_run', NOTES, results, tabulate, {'run.py': config})
    yield Reader(
        'configs',
        'config of a run',
        'run.py',
        [config],
        tabulate,
        {NOTES: json.dumps(results).encode()},
    )
    state = {'fingerprint': 'a', 'recipe': {}, 'spent': 1.0, 'seconds': 2.0}
    yield note('step', 'step.json', state, do_step)
    yield note('minitown, draw', MANIFEST, MANIFEST_NOTE, draw)
    yield note('minitown, check', MANIFEST, MANIFEST_NOTE, check)
    yield note(
        'translated',
        METADATA,
        {'images': 3},
        lambda f: _check_metadata(f / METADATA, 3),
    )
    yield note('demo', 'demo.json', {'input': 'a'}, read_origin)
    origin = {'origin': {'network': [1, 2]}}
    yield note('labels', f'out/{LABELS}', origin, labels)


def note(name: str, file: str, content: dict, read: object, *rest) -> Reader:
    """Make the reader of a note."""
    return Reader(
        'notes', name, file, [json.dumps(content).encode()], read, *rest
    )


def tabulate(folder: Path) -> None:
    run = read_run(folder)
    _ = run.means, run.iou, run.domains, run.classes, run.seed, run.method


def do_step(folder: Path) -> None:
    Step('a step', folder, {'a': 1}).run(lambda: None)


def draw(folder: Path) -> None:
    is_complete(folder, Plan(**TOWN), overwrite=False)


def check(folder: Path) -> None:
    never_drawn(folder / 'gta/images')


def labels(folder: Path) -> None:
    LabelFolder(folder / 'out', {'network': [1, 2]}).is_complete()
