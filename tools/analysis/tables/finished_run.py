# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmseg_cag.analysis.runs.run import Run, read_config
from mmseg_cag.datasets.dataset_configs import target_config
from mmseg_cag.datasets.inspection.drawing_record import MANIFEST
from mmseg_cag.engine.records.provenance import provenance_of
from mmseg_cag.engine.records.result_summary_hook import NOTES, read_results
from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.evaluation.uda_iou_metric import CLASS


@dataclass(frozen=True)
class FinishedRun(Run):
    """Final result of a run with its setting.

    Attributes:
        iteration: The last iteration.
        metrics: The result, in percent.
    """

    iteration: int
    metrics: dict[str, float]

    @property
    def domains(self) -> tuple[str, str]:
        """Return the dataset types of source and target, – for no source."""
        dataset = self.cfg.train_dataloader.dataset
        target = target_config(self.cfg).type
        if dataset.type == 'UDADataset':
            source = dataset.domains.get('source') or {}
            return source.get('type', '–'), target
        return dataset.type, target

    @property
    def iou(self) -> dict[str, float]:
        """Return the IoU of each class that has one."""
        return {
            name.removeprefix(CLASS): value
            for name, value in self.metrics.items()
            if name.startswith(CLASS)
        }

    @property
    def means(self) -> dict[str, float]:
        """Return the mIoU and the means over class subsets."""
        return {
            name: value
            for name, value in self.metrics.items()
            if name.startswith('mIoU')
        }

    @property
    def data_root(self) -> str:
        """Return the root folder of the evaluated dataset."""
        return target_config(self.cfg).get('data_root') or ''

    @property
    def is_minitown(self) -> bool:
        """Return whether the data is synthetic in a published layout."""
        root = Path(self.data_root)
        return 'minitown' in root.parts or (root.parent / MANIFEST).is_file()

    @property
    def method(self) -> str:
        """Return all settings except seeds, as text to compare."""
        return json.dumps(
            _without_seed(provenance_of(self.cfg)), sort_keys=True
        )


def read_run(folder: Path) -> FinishedRun:
    """Read the final result of a run, never its best.

    Args:
        folder: Its work dir.

    Raises:
        MissingFileError: The folder, its result or its config is missing.
        UserError: The result is damaged or the run is not finished.
    """
    notes = folder / NOTES
    if not notes.is_file():
        raise MissingFileError(
            f'{folder}: no {NOTES}, expected the work dir of a run with '
            'ResultSummaryHook'
        )
    results = read_results(notes)
    last = max(results, default=0)
    run = FinishedRun(folder, read_config(folder), last, results.get(last, {}))
    if last != run.max_iters:
        raise UserError(
            f'{folder}: its last result is from iteration {last} of '
            f'{run.max_iters}, expected a finished run'
        )
    return run


def _without_seed(provenance: dict) -> dict:
    start = provenance.get('initialized_from')
    if isinstance(start, dict):
        start = _without_seed(start)
    elif start:
        # Seeds' folders differ above the run's own.
        start = Path(start).parts[-2:]
    randomness = {**(provenance.get('randomness') or {}), 'seed': None}
    made = list(provenance.get('inputs_sha256') or ())
    plain = _without_folders(provenance, made)
    own = {
        'randomness': randomness,
        'initialized_from': start,
        'inputs_sha256': made,
    }
    return {**plain, **own}


def _without_folders(node: Any, names: list[str]) -> Any:
    """Replace each path of a named folder by the name."""
    if isinstance(node, dict):
        return {k: _without_folders(v, names) for k, v in node.items()}
    if isinstance(node, list):
        return [_without_folders(value, names) for value in node]
    is_path = isinstance(node, str) and Path(node).name in names
    return Path(node).name if is_path else node
