# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.dist import all_reduce_params
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from .stage_hook import StageHook, bare_model


@HOOKS.register_module()
class LabelerHook(StageHook):
    """Copy the student into the frozen labeler as a stage begins.

    The optimizer's momentum starts afresh (CAG-UDA restarts the optimizer at
    each stage); the learning rate is `StagewisePolyLR`'s.

    Args:
        stage_iters: Iterations of a stage.
    """

    priority = 'NORMAL'

    def begin_stage(self, runner: Runner, stage: int) -> None:
        """Freeze the student of this moment; ranks agree on it exactly."""
        model = bare_model(runner)
        statistics = [b for b in model.buffers() if b.is_floating_point()]
        all_reduce_params(statistics, op='mean')
        model.start_stage(stage)
        runner.optim_wrapper.optimizer.state.clear()
        stages = runner.train_loop.max_iters // self.stage_iters
        runner.logger.info(f'Stage {stage} of {stages} begins')
