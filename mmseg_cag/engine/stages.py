# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.dist import all_reduce_params, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS, LOOPS
from torch import Tensor
from torch.utils.data import DataLoader

from mmseg_cag.datasets import SkipBadFiles
from mmseg_cag.engine.records.skipped_files_hook import count_skipped
from mmseg_cag.engine.resilience.signals import guard_workers
from mmseg_cag.engine.runtime.norm_statistics import (
    build_target_loader,
    target_loader,
)
from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.anchor_file import read_category_anchors
from mmseg_cag.models.anchors.pseudo_label_head import PixelSampler
from mmseg_cag.models.segmentors.base import UDASegmentor, bare_model
from mmseg_cag.models.segmentors.cag import CAGSegmentor
from mmseg_cag.monitor.alarms import Alarm, write_alarm
from mmseg_cag.progress import track

from .loops import (
    UDATrainLoop,
    clear_optimizer_state,
    require_positive,
)


@LOOPS.register_module()
class StageTrainLoop(UDATrainLoop):
    """Training in stages of equal length, which start at 0, S, 2S, ...

    At the start of a stage the model's ``start_stage`` copies the student to
    the teacher; the optimizer state is cleared (CAG-UDA restarts it at each
    stage; `PolyRestartLR` restarts the rate); then hooks'
    ``before_stage(runner)`` is called. All this depends only on the weights at
    that iteration: a run that resumes at a boundary repeats it, one that
    resumes within a stage finds the result in the checkpoint.

    Stage numbers continue from the starting checkpoint: 1 after a warm-up, 2
    after stage 1.

    Args:
        runner: The runner.
        dataloader: The training dataloader or its config.
        stages: Number of stages.
        stage_iters: Iterations S of a stage. Schedule, validations and
            checkpoints follow it.
        vals_per_stage: Maximum number of equally spaced validations per stage,
            including one at its end.
        saves_per_stage: Checkpoints per stage, likewise; replaces
            ``default_hooks.checkpoint.interval``. None keeps the interval.
        first_stage: Number of the first stage; by default one after the
            checkpoint's.
        val_begin: See `UDATrainLoop`.

    Raises:
        UserError: One of these is not positive, or the model has no stages.
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
        """Train on one batch; start a stage first if one starts here."""
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
        """Check that the run starts from the previous stage.

        Raises:
            UserError: It starts from another stage.
        """
        if self.first_stage is None or self._iter > 0:
            return
        done = self.model.stage
        # Other checkpoints, such as imported ones, have no stage.
        if done not in (0, self.first_stage - 1):
            raise UserError(
                f'{self.runner.cfg.get("load_from")}: a checkpoint of stage '
                f'{done.item()}, expected one of stage {self.first_stage - 1} '
                f'to begin stage {self.first_stage}'
            )
        done.fill_(self.first_stage - 1)

    def _begin_stage(self) -> None:
        """Start a stage from the current student, on all ranks."""
        runner, model = self.runner, self.model
        # Batch statistics differ between ranks; the teacher must not.
        statistics = [b for b in model.buffers() if b.is_floating_point()]
        all_reduce_params(statistics, op='mean')
        model.start_stage()
        clear_optimizer_state(runner.optim_wrapper)
        runner.logger.info(f'Stage {model.stage.item()} begins')
        runner.call_hook('before_stage')


def divide_stage(stage_iters: int, parts: int) -> int:
    """Compute the interval of an event that recurs within a stage.

    Args:
        stage_iters: Iterations of a stage.
        parts: Maximum number of events: the largest divisor of the stage up to
            this, so that the last event is at its end.
    """
    return stage_iters // max(
        n
        for n in range(1, min(parts, stage_iters) + 1)
        if stage_iters % n == 0
    )


@HOOKS.register_module()
class AnchorHook(Hook):
    """Compute the anchors over the source at the start of a stage.

    The centroids are of the new teacher made by `StageTrainLoop`. The config's
    ``anchor_dataloader`` reads the source without augmentation, with a sampler
    that does not repeat images (``round_up=False``). Ranks split the images.

    Args:
        recompute: Whether each stage recomputes them; else existing anchors,
            computed once or loaded, are kept with their margin, and no source
            is needed. If a margin or limits in use are missing, all are
            computed.
        init_from: File of initial anchors instead of computed ones: the
            release's or one from ``import_anchors.py``.
        margin_pixels: Number of source pixels for calibrating an automatic
            margin.
    """

    priority = 'BELOW_NORMAL'

    def __init__(
        self,
        recompute: bool = True,
        init_from: str | None = None,
        margin_pixels: int = 100_000,
    ) -> None:
        self.recompute = recompute
        self.init_from = init_from
        self.margin_pixels = margin_pixels

    def before_train(self, runner: Runner) -> None:
        """Check the loop and the origin of the anchors.

        Raises:
            UserError: The run has no stages, lacks anchors, margin or limits
                and an ``anchor_dataloader``, or the file is of another
                network.
        """
        loop = type(runner.train_loop)
        if not issubclass(loop, StageTrainLoop):
            raise UserError(
                f'AnchorHook: train_cfg.type is {loop.__name__}, expected '
                'StageTrainLoop, which computes anchors at each stage'
            )
        model = runner.train_loop.model
        self.check_ahead(runner.cfg, model)
        given = self.init_from and runner.iter == 0
        if self.recompute or given or runner.cfg.get('anchor_dataloader'):
            return
        if lacking := lacks(model):
            raise UserError(
                f'load_from={runner.cfg.get("load_from")}: has no {lacking}, '
                'and there is no anchor_dataloader; expected a file of '
                'tools/export_source_free.py'
            )

    def check_ahead(self, cfg: dict, model: CAGSegmentor) -> None:
        """Check the file of anchors and the source, before any training.

        Args:
            cfg: The run's config.
            model: Its network, of any weights.

        Raises:
            UserError: There is no source to compute them on, or the file is
                missing or of another network.
        """
        if self.init_from:
            self._read_anchors(model)
        if self.recompute:
            anchor_loader(cfg)

    @torch.no_grad()
    def before_stage(self, runner: Runner) -> None:
        """Load, keep or compute the anchors."""
        model = runner.train_loop.model
        if self.init_from and runner.iter == 0:
            anchors, counts = self._read_anchors(model)
            model.anchor_bank.anchors.copy_(anchors)
            model.anchor_bank.counts.copy_(counts)
            origin = f'from {self.init_from}'
        elif not self.recompute and not lacks(model):
            origin = 'kept'
        else:
            self._compute(runner, model)
            origin = 'computed'
        report_anchors(runner, model, origin)

    def _read_anchors(self, model: CAGSegmentor) -> tuple[Tensor, Tensor]:
        if hasattr(model.anchor_bank, 'domains'):
            raise UserError(
                f'AnchorHook: init_from={self.init_from} holds one set of '
                "anchors, expected model.anchor_bank.type='AnchorBank'"
            )
        head = model.pseudo_label_head
        if head.needs_source:
            setting, expected = (
                ("margin='auto'", 'a number')
                if head.is_auto
                else ('unknown_quantile', 'None')
            )
            raise UserError(
                f'AnchorHook: init_from={self.init_from} and {setting}, '
                f'which requires computed anchors; expected {expected}'
            )
        anchors, counts = read_category_anchors(self.init_from)
        expected = model.anchor_bank.anchors.shape
        if anchors.shape != expected:
            raise UserError(
                f'{self.init_from}: {anchors.shape[0]} anchors of '
                f'{anchors.shape[1]} channels, but the network has '
                f'{expected[0]} classes and features of {expected[1]}'
            )
        return anchors, counts

    def _compute(self, runner: Runner, model: CAGSegmentor) -> None:
        loader = build_loader(runner)
        centroids = model.anchor_bank.new_centroids()
        sample = None
        if model.pseudo_label_head.needs_source:
            like = model.anchor_bank.anchors
            sample = PixelSampler(
                self.margin_pixels, len(loader.dataset), like
            )
        batches = track(
            loader,
            f'Anchors, stage {model.stage.item()}',
            disable=not is_main_process(),
        )
        for batch in batches:
            if isinstance(loader.dataset, SkipBadFiles):
                count_skipped(runner, batch['data_samples'])
            images, samples = preprocess_source(model, batch)
            # In the precision of the training step, in which labels are made.
            with runner.optim_wrapper.optim_context(runner.model):
                model.collect_centroids(centroids, sample, images, samples)
        model.store_anchors(centroids, sample)


@HOOKS.register_module()
class PrototypeHook(Hook):
    """Compute ProDA's prototypes over the target at the start of a stage.

    The class means use the predictions of the labelling network made by
    `StageTrainLoop` on all target images, with the evaluation pipeline.
    """

    priority = 'BELOW_NORMAL'

    def before_train(self, runner: Runner) -> None:
        """Check that the config has a target."""
        target_loader(runner.cfg)

    @torch.no_grad()
    def before_stage(self, runner: Runner) -> None:
        """Compute the prototypes; ranks split the images."""
        model = runner.train_loop.model
        loader = build_target_loader(runner.cfg, model, runner.seed)
        means = model.prototypes.new_centroids()
        for batch in track(
            loader, 'Prototypes', disable=not is_main_process()
        ):
            images = model.data_preprocessor(batch, False)['inputs']
            # In the precision of the training step, which compares them.
            with runner.optim_wrapper.optim_context(runner.model):
                model.collect_means(means, images)
        means.reduce()
        model.prototypes.store(means)
        found = int((model.prototypes.counts > 0).sum())
        runner.logger.info(f'Prototypes of {found} classes computed')


def anchor_loader(cfg: dict) -> dict:
    """Return the config of the source dataloader for the anchors.

    Its dataset skips bad files if training does.

    Args:
        cfg: The run's config.

    Raises:
        UserError: The config has none.
    """
    loader = cfg.get('anchor_dataloader')
    if not loader:
        raise UserError(
            'anchor_dataloader is missing, expected the dataloader of the '
            'source without augmentation'
        )
    if cfg['train_dataloader']['dataset'].get('skip_bad_files'):
        dataset = dict(type='SkipBadFiles', dataset=loader['dataset'])
        return {**loader, 'dataset': dataset}
    return loader


def build_loader(runner: Runner) -> DataLoader:
    """Build the dataloader for the anchors.

    Raises:
        UserError: Its classes differ from those of training.
    """
    cfg = anchor_loader(runner.cfg)
    loader = runner.build_dataloader(cfg, seed=runner.seed)
    found = loader.dataset.metainfo['classes']
    classes = runner.train_dataloader.dataset.metainfo['classes']
    if list(found) != list(classes):
        raise UserError(
            f'anchor_dataloader.dataset has the classes {found}, expected '
            f'those of training, {classes}'
        )
    if loader.num_workers:
        guard_workers(loader)
    return loader


def lacks(model: CAGSegmentor) -> str | None:
    """Name what a model needs to label by anchors and does not have."""
    if not model.anchor_bank.counts.any():
        return 'anchors'
    is_ready = model.pseudo_label_head.is_calibrated
    return None if is_ready else 'finite margin or limit'


def report_anchors(runner: Runner, model: CAGSegmentor, origin: str) -> None:
    """Log the classes with an anchor; raise an alarm for missing ones.

    Args:
        runner: The run.
        model: The model with the anchors.
        origin: Origin of the anchors, for the log.
    """
    counts = model.anchor_bank.counts
    margins = sorted({*model.pseudo_label_head.margin.tolist()})
    classes = runner.train_dataloader.dataset.metainfo['classes']
    absent = [
        name for name, n in zip(classes, counts.tolist(), strict=True) if not n
    ]
    ends = margins if len(margins) == 1 else (margins[0], margins[-1])
    runner.logger.info(
        f'Anchors of {len(classes) - len(absent)} classes {origin}, '
        f'margin {" to ".join(f"{m:.3g}" for m in ends)}'
    )
    if absent:
        message = (
            f'No source pixel of {", ".join(absent)}: no anchor, never '
            'assigned as a pseudo label; check the source labels for it'
        )
        write_alarm(runner, Alarm('no_anchor', None, message))


def preprocess_source(model: UDASegmentor, batch: dict) -> tuple:
    """Preprocess a source batch; return its images and samples."""
    batch = {key: {'source': value} for key, value in batch.items()}
    batch = model.data_preprocessor(batch)
    return batch['inputs']['source'], batch['data_samples']['source']
