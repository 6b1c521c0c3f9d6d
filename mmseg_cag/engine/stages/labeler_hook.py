# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.dist import all_reduce_params
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.errors import UserError
from mmseg_cag.models.unwrap import bare_model

from .stage_hook import StageHook


@HOOKS.register_module()
class LabelerHook(StageHook):
    """Copy the student into the frozen labeler as a stage begins.

    The optimizer's momentum starts afresh (CAG-UDA restarts the optimizer at
    each stage); the learning rate is `StagewisePolyLR`'s.

    The stage's number goes on from that of the checkpoint that the run starts
    from: it is 1 after a warm-up and 2 after a stage 1.

    Args:
        stage_iters: Iterations of a stage.
        first_stage: The stage that the run is to begin with; by default the
            one after the checkpoint's.
    """

    priority = 'NORMAL'

    def __init__(
        self, stage_iters: int, first_stage: int | None = None
    ) -> None:
        super().__init__(stage_iters)
        self.first_stage = first_stage

    def before_train(self, runner: Runner) -> None:
        """Check the stages and that the checkpoint is of the one before.

        Raises:
            UserError: It is of another stage.
        """
        super().before_train(runner)
        if self.first_stage is None or runner.iter > 0:
            return
        done = bare_model(runner).stage
        # A checkpoint from elsewhere, such as an imported one, notes none.
        if done not in (0, self.first_stage - 1):
            raise UserError(
                f'{runner._load_from}: a checkpoint of stage {done.item()}, '
                f'expected one of stage {self.first_stage - 1} to begin '
                f'stage {self.first_stage}'
            )
        done.fill_(self.first_stage - 1)

    def begin_stage(self, runner: Runner) -> None:
        """Freeze the student of this moment; ranks agree on it exactly."""
        model = bare_model(runner)
        statistics = [b for b in model.buffers() if b.is_floating_point()]
        all_reduce_params(statistics, op='mean')
        model.start_stage()
        runner.optim_wrapper.optimizer.state.clear()
        runner.logger.info(f'Stage {model.stage.item()} begins')
