# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import torch
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.amp import autocast
from mmseg.registry import HOOKS
from torch import nn

from mmseg_cag.errors import UserError
from mmseg_cag.evaluation.uda_iou_metric import CONFUSION, TEACHER
from mmseg_cag.models.segmentors.base import bare_model, evaluating
from mmseg_cag.models.teacher import Teacher


@HOOKS.register_module()
class TeacherValidationHook(Hook):
    """Score the mean teacher beside the student in each validation.

    Both predict each batch; the metrics of ``val_evaluator`` for the teacher
    have the prefix ``teacher/``. It is scored as an exported network: all in
    evaluation mode, batch norms with its running statistics, and without the
    mirror images of its labels. Nothing of a run depends on it.

    Raises:
        UserError: The method has no mean teacher.
    """

    # Before hooks that read the results.
    priority = 'HIGHEST'

    def before_train(self, runner: Runner) -> None:
        """Require a mean teacher."""
        mean_teacher_of(bare_model(runner))

    def before_val(self, runner: Runner) -> None:
        """Build the teacher's evaluator."""
        self._teacher = mean_teacher_of(bare_model(runner)).module
        settings = copy.deepcopy(runner.cfg.val_evaluator)
        self._evaluator: Evaluator = runner.build_evaluator(settings)
        dataset = runner.val_dataloader.dataset
        self._evaluator.dataset_meta = dataset.metainfo

    @torch.no_grad()
    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: object = None,
    ) -> None:
        """Predict the batch by the teacher."""
        data = bare_model(runner).data_preprocessor(data_batch, False)
        with (
            evaluating(self._teacher),
            autocast(enabled=runner.val_loop.fp16),
        ):
            predicted = self._teacher(**data, mode='predict')
        self._evaluator.process(predicted, data_batch)

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Add the teacher's results to the student's."""
        runner.logger.info('Results of the mean teacher:')
        hub = runner.message_hub
        counts = hub.pop_info(CONFUSION)  # of the student
        found = self._evaluator.evaluate(len(runner.val_dataloader.dataset))
        if counts is not None:
            hub.update_info(CONFUSION, counts, resumed=False)
        metrics |= {f'{TEACHER}{key}': value for key, value in found.items()}


def mean_teacher_of(model: nn.Module) -> Teacher:
    """Find the teacher that averages the students of all steps.

    Raises:
        UserError: There is none: a teacher is fixed or copies the student.
    """
    for part in model.children():
        if isinstance(part, Teacher) and not part.is_fixed:
            if part.momentum < 1:
                return part
    raise UserError(
        f'default_hooks.teacher_validation: {type(model).__name__} has no '
        'mean teacher, expected a method with one, such as DACSSegmentor'
    )
