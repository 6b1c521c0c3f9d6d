# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_cag.analysis.model_selection.score_run import read_mious
from mmseg_cag.analysis.report.gap import GAP
from mmseg_cag.analysis.report.measure import Measured
from mmseg_cag.analysis.report.networks import list_networks
from mmseg_cag.analysis.report.run import read_run
from mmseg_cag.analysis.report.score import score_of_validation
from mmseg_cag.analysis.report.view import SCORES, make_view
from mmseg_cag.analysis.report.write import render
from mmseg_cag.analysis.runs.run import open_run
from mmseg_cag.engine.records.result_summary_hook import (
    NOTES,
    ResultSummaryHook,
)
from mmseg_cag.monitor.anchor_record_hook import ANCHORS
from mmseg_cag.monitor.monitor_hook import ALARMS, RECORDS, MonitorHook
from tests import tiny

from .reader import Reader

CONFIG, LOG = 'a/vis_data/config.py', 'a/a.log'
SCALARS = 'a/vis_data/scalars.json'
HISTORY = 3  # iterations


def readers(scratch: Path) -> Iterator[Reader]:
    """The readers of what a run leaves in its work dir."""
    cfg = tiny.run_config(scratch, scratch)
    files = work_dir(cfg)
    for file in files:
        beside = {name: files[name] for name in files if name != file}
        kind = 'configs' if file == CONFIG else 'runs'
        named = f'report, {Path(file).name}'
        yield Reader(kind, named, file, [files[file]], report, beside)
    for file, read in {
        NOTES: lambda f: ResultSummaryHook().before_train(resumed(f)),
        RECORDS: lambda f: MonitorHook().before_train(resumed(f)),
        ALARMS: lambda f: MonitorHook().before_train(resumed(f)),
    }.items():
        yield Reader('runs', f'resume, {file}', file, [files[file]], read)
    yield Reader(
        'runs', 'mIoU by iteration', NOTES, [files[NOTES]], read_mious
    )
    yield Reader(
        'configs',
        'figures',
        'run.py',
        [files[CONFIG]],
        open_run,
        {'iter_3.pth': b''},
    )


def work_dir(cfg: Config) -> dict[str, bytes]:
    """The files of a run, without weights."""
    text = '\n'.join(f'{k} = {v!r}' for k, v in cfg.to_dict().items())
    kind = cfg.val_dataloader.dataset.type
    classes = DATASETS.get(kind).METAINFO['classes']
    matrix = [[1.0] * len(classes)] * len(classes)
    result = {f'IoU.{name}': 50.0 for name in classes}
    result |= {'mIoU': 50.0, 'classes': classes, 'confusion_matrix': matrix}
    record = {
        'iter': 2,
        'stage': 1,
        'active': 0.5,
        'coverage': {name: 0.5 for name in classes},
    }
    geometry = {'iter': 0, 'stage': 1, 'distances': matrix, 'drift': {}}
    score = {'checkpoint': 'iter_3.pth', 'iter': 3, 'stage': 1, 'entropy': 0.1}
    noted = {'scores': [score], 'choices': {'entropy': 'iter_3.pth'}}
    finding = {'name': 'colour', 'text': 'x 2', 'score': 1.5}
    remedy = {'name': 'resize', 'changed': 0.5, 'gain': [1.0, 0.0, 2.0]}
    gap = {'verdict': 'adapt', 'findings': [finding], 'remedies': [remedy]}
    begun = '2026/01/01 00:00:00 - mmengine - INFO - begun\n'
    return {
        CONFIG: text.encode(),
        NOTES: json.dumps({'3': result, '6': result}).encode(),
        RECORDS: line(record),
        ANCHORS: line(geometry),
        ALARMS: line({'iter': 2, 'kind': 'a', 'message': 'b'}),
        SCORES: json.dumps(noted).encode(),
        GAP: json.dumps(gap).encode(),
        SCALARS: line({'iter': 1, 'step': 1, 'loss': 1.5, 'time': 0.1}),
        LOG: f'{begun}    PyTorch: 2.6\n{begun}'.encode(),
    }


def line(record: dict) -> bytes:
    """Write a record, twice, a line each."""
    return f'{json.dumps(record)}\n'.encode() * 2


def resumed(folder: Path) -> SimpleNamespace:
    """Stand in for the runner of a run that goes on."""
    return SimpleNamespace(work_dir=str(folder), iter=HISTORY)


def report(folder: Path) -> None:
    run = read_run(folder)
    measured = Measured(list_networks(run))
    for network in measured.networks:
        score = score_of_validation(network.validation, run.classes)
        if score:
            measured.scores[network.title] = score
    # The layout of the config takes seconds.
    with patch.object(Config, 'pretty_text', property(repr)):
        render([make_view(run, measured, 1)])
