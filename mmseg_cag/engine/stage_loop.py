# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.dist import all_reduce_params
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmseg.registry import LOOPS
from torch.utils.data import DataLoader

from mmseg_cag.errors import UserError
from mmseg_cag.models.unwrap import bare_model

from .loops import UDATrainLoop, clear_optimizer_state, require_positive


@LOOPS.register_module()
class StageTrainLoop(UDATrainLoop):
    """Training in stages of one length: at 0, S, 2S, ... one begins.

    There the model's ``start_stage`` is called, which makes a teacher of the
    student of this moment; the optimizer's state is cleared (CAG-UDA restarts
    it at each stage; `PolyRestartLR` restarts the rate); then hooks'
    ``before_stage(runner)``. All this is a function of the weights at that
    iteration, so a run that resumes at a boundary does it again and one that
    resumes within a stage finds its result in the checkpoint.

    The stage's number goes on from that of the checkpoint that the run starts
    from: it is 1 after a warm-up and 2 after a stage 1.

    Args:
        runner: The runner.
        dataloader: The training data, or their config.
        stages: Number of stages.
        stage_iters: Iterations S of a stage. Schedule, validations and
            checkpoints follow.
        vals_per_stage: Validations of a stage at most, equally spaced; its
            end is one of them.
        saves_per_stage: Checkpoints of a stage likewise, in the place of
            ``default_hooks.checkpoint.interval``; None leaves that alone.
        first_stage: The stage that the run is to begin with; by default the
            one after the checkpoint's.
        val_begin: As of `UDATrainLoop`.

    Raises:
        UserError: One of these is no positive number, or the model knows no
            stages.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        stages: int,
        stage_iters: int,
        vals_per_stage: int = 1,
        saves_per_stage: int | None = None,
        first_stage: int | None = None,
        val_begin: int = 1,
    ) -> None:
        given = dict(
            stages=stages,
            stage_iters=stage_iters,
            vals_per_stage=vals_per_stage,
            saves_per_stage=saves_per_stage,
            first_stage=first_stage,
        )
        require_positive(**{k: v for k, v in given.items() if v is not None})
        model = bare_model(runner)
        if not hasattr(model, 'start_stage'):
            raise UserError(
                f'StageTrainLoop: {type(model).__name__} has no stages, '
                'expected CAGSegmentor, or train_cfg.type=UDATrainLoop'
            )
        super().__init__(
            runner,
            dataloader,
            max_iters=stages * stage_iters,
            val_interval=divide_stage(stage_iters, vals_per_stage),
            val_begin=val_begin,
        )
        self._stage_iters = stage_iters
        self.first_stage = first_stage
        if saves_per_stage is not None:
            self._set_saves(divide_stage(stage_iters, saves_per_stage))

    @property
    def stage_iters(self) -> int:
        """Iterations of a stage."""
        return self._stage_iters

    def run_iter(self, data_batch: dict) -> None:
        """Train by one batch; begin a stage first if one begins here."""
        if self.stage_begins:
            self._begin_stage()
        super().run_iter(data_batch)

    def _train(self) -> None:
        self._require_stage_before()
        super()._train()

    def _set_saves(self, interval: int) -> None:
        for hook in self.runner.hooks:
            if isinstance(hook, CheckpointHook) and hook.interval > 0:
                hook.interval = interval

    def _require_stage_before(self) -> None:
        """Check that what the run starts from is the stage before.

        Raises:
            UserError: It is another.
        """
        if self.first_stage is None or self._iter > 0:
            return
        done = bare_model(self.runner).stage
        # A checkpoint from elsewhere, such as an imported one, notes none.
        if done not in (0, self.first_stage - 1):
            raise UserError(
                f'{self.runner.cfg.get("load_from")}: a checkpoint of stage '
                f'{done.item()}, expected one of stage {self.first_stage - 1} '
                f'to begin stage {self.first_stage}'
            )
        done.fill_(self.first_stage - 1)

    def _begin_stage(self) -> None:
        """Begin a stage from the student of this moment, on all ranks."""
        runner, model = self.runner, bare_model(self.runner)
        # Batch statistics differ by rank; the teacher is to be the same.
        statistics = [b for b in model.buffers() if b.is_floating_point()]
        all_reduce_params(statistics, op='mean')
        model.start_stage()
        clear_optimizer_state(runner.optim_wrapper)
        runner.logger.info(f'Stage {model.stage.item()} begins')
        runner.call_hook('before_stage')


def divide_stage(stage_iters: int, parts: int) -> int:
    """Compute the interval of what is done several times a stage.

    Args:
        stage_iters: Iterations of a stage.
        parts: How often it is done, at most: the largest number up to this
            that divides the stage, so that its end is always one of them.
    """
    return stage_iters // max(
        n
        for n in range(1, min(parts, stage_iters) + 1)
        if stage_iters % n == 0
    )
