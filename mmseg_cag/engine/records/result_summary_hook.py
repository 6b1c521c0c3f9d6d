# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.errors import UserError
from mmseg_cag.evaluation.uda_iou_metric import CONFUSION, TEACHER
from mmseg_cag.fileio.atomic import atomic_write
from mmseg_cag.fileio.json_file import read_json
from mmseg_cag.models.segmentors.base import current_stage

NOTES = 'validation.json'
NUMBER = re.compile('[0-9]{1,18}')


@HOOKS.register_module()
class ResultSummaryHook(Hook):
    """Log the last and the best result at the end of training.

    Every validation is recorded by iteration in ``validation.json`` in the
    work dir, with its stage and, if `UDAIoUMetric` computes one, the confusion
    matrix (rows: ground truth, columns: prediction). Checkpoints are written
    before the validation and cannot hold it, so a resumed run reads the file
    up to its iteration.

    Args:
        metric: Name of the metric that selects the best.
    """

    priority = 'LOW'

    def __init__(self, metric: str = 'mIoU') -> None:
        self.metric = metric
        # None outside training: a validation run does not change the file.
        self._results: dict[int, dict[str, Any]] | None = None

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Read the records of a resumed run; a new one has none."""
        self._results = {}
        path = Path(runner.work_dir, NOTES)
        if runner.iter and path.is_file():
            self._results = {
                iteration: results
                for iteration, results in read_results(path).items()
                if iteration <= runner.iter and self.metric in results
            }
        else:
            path.unlink(missing_ok=True)

    @master_only
    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Record the results of this iteration."""
        if self._results is None or self.metric not in (metrics or {}):
            return
        result = {k: float(v) for k, v in metrics.items()}
        if (stage := current_stage(runner)) is not None:
            result['stage'] = stage
        if confusion := runner.message_hub.pop_info(CONFUSION):
            result['classes'] = list(
                runner.val_dataloader.dataset.metainfo['classes']
            )
            result[CONFUSION] = confusion
        self._results[runner.iter] = result
        try:
            self._write(Path(runner.work_dir))
        except OSError as error:
            runner.logger.error(
                f'{NOTES}: could not be written ({error.strerror}); training '
                'continues'
            )

    def _write(self, work_dir: Path) -> None:
        # One line per validation: indented matrices would take thousands.
        lines = (f'"{i}": {json.dumps(r)}' for i, r in self._results.items())
        text = '{\n' + ',\n'.join(lines) + '\n}\n'
        atomic_write(work_dir / NOTES, text.encode())

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Log the last and the best."""
        if not self._results:
            return
        last, best = max(self._results), max(self._results, key=self._rank)
        runner.logger.info(f'Last: {self._describe(runner, last)}')
        if best == last:
            runner.logger.info(f'Best by {self.metric}: the last')
            return
        runner.logger.info(
            f'Best by {self.metric}: {self._describe(runner, best)}. It was '
            'chosen with the labels of the validation set: if these are the '
            "target's, the choice is not unsupervised, so report the last"
        )

    def _rank(self, iteration: int) -> tuple[float, int]:
        value = self._results[iteration][self.metric]
        # The later of equal ones, so that the last counts as best.
        return -math.inf if math.isnan(value) else value, iteration

    def _describe(self, runner: Runner, iteration: int) -> str:
        means = [
            f'{name} {value:.2f}'
            for name, value in self._results[iteration].items()
            if name.removeprefix(TEACHER).startswith(self.metric)
        ]
        files = sorted(Path(runner.work_dir).glob(f'*iter_{iteration}.pth'))
        kept = files[-1].name if files else 'no checkpoint kept'
        return f'{", ".join(means)} at iteration {iteration} ({kept})'


def read_results(path: Path) -> dict[int, dict[str, Any]]:
    """Read all validation results by iteration.

    Args:
        path: The notes of a run.

    Raises:
        UserError: They are damaged.
    """
    notes = read_json(path)
    for iteration, result in notes.items():
        if not NUMBER.fullmatch(iteration) or not _is_result(result):
            raise UserError(
                f'{path}: expected results by iteration, found '
                f'{iteration[:20]!r}'
            )
    return {int(iteration): result for iteration, result in notes.items()}


def _is_result(result: object) -> bool:
    return isinstance(result, dict) and all(
        isinstance(value, int | float)
        for key, value in result.items()
        if key not in ('classes', CONFUSION)
    )
