# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""mIoU where target labels exist: beside the scores, never in them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mmseg_cag.analysis.evaluate import evaluate
from mmseg_cag.analysis.runs.run import Run
from mmseg_cag.engine.records.last_and_best_hook import NOTES, read_results
from mmseg_cag.errors import UserError


def read_mious(folder: Path) -> dict[int, float]:
    """Read the mIoU in percent by iteration that a run has noted.

    Raises:
        UserError: The notes are damaged.
    """
    path = folder / NOTES
    notes = read_results(path) if path.is_file() else {}
    if any('mIoU' not in result for result in notes.values()):
        raise UserError(f'{path}: no mIoU, expected results by iteration')
    return {iteration: result['mIoU'] for iteration, result in notes.items()}


def evaluate_missing(run: Run, results: dict[int, float]) -> dict[int, float]:
    """Evaluate the checkpoints of a run that have no result.

    Args:
        run: The run.
        results: Those that have, mIoU by iteration.
    """
    with tempfile.TemporaryDirectory() as folder:
        return {
            iteration: results[iteration]
            if iteration in results
            else evaluate(run.cfg, checkpoint, Path(folder))
            for iteration, checkpoint in run.checkpoints.items()
        }
