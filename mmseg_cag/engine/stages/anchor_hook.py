# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor
from torch.utils.data import DataLoader

from mmseg_cag.datasets.dataset_configs import anchor_loader
from mmseg_cag.engine.records.skipped_files_hook import count_skipped
from mmseg_cag.engine.resilience.signals import ignore_signals_in_workers
from mmseg_cag.engine.stage_loop import StageTrainLoop
from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.anchor_file import read_category_anchors
from mmseg_cag.models.anchors.pseudo_label_head import PixelSample
from mmseg_cag.models.segmentors.cag import CAGSegmentor
from mmseg_cag.models.unwrap import bare_model
from mmseg_cag.monitor.alarms import Alarm, write_alarm
from mmseg_cag.progress import track


@HOOKS.register_module()
class AnchorHook(Hook):
    """Compute the anchors over the source set as a stage begins.

    `StageTrainLoop` has made the new teacher: the centroids are its. They are
    taken by ``anchor_dataloader`` of the config: the source without
    augmentation, read by a sampler that does not repeat images
    (``round_up=False``). Each rank takes its share, each image once.

    Args:
        recompute: Whether each stage computes them anew; else those that are
            there, computed once or loaded, are kept with their margin.
        init_from: File of anchors that the run begins with in the place of
            computed ones: the release's or one of ``import_anchors.py``.
        margin_pixels: Source pixels that an automatic margin is chosen on.
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
        """Check the loop and the file of anchors.

        Raises:
            UserError: The run has no stages, the config has no
                ``anchor_dataloader``, or the file is of another network.
        """
        loop = type(runner.train_loop)
        if not issubclass(loop, StageTrainLoop):
            raise UserError(
                f'AnchorHook: train_cfg.type is {loop.__name__}, expected '
                'StageTrainLoop, by whose stages anchors are computed'
            )
        anchor_loader(runner.cfg)
        if self.init_from:
            self._read_anchors(bare_model(runner))

    @torch.no_grad()
    def before_stage(self, runner: Runner) -> None:
        """Load, keep or compute the anchors."""
        model = bare_model(runner)
        if self.init_from and runner.iter == 0:
            anchors, counts = self._read_anchors(model)
            model.anchor_bank.anchors.copy_(anchors)
            model.anchor_bank.counts.copy_(counts)
            origin = f'from {self.init_from}'
        elif not self.recompute and model.anchor_bank.counts.any():
            origin = 'kept'
        else:
            self._compute(runner, model)
            origin = 'computed'
        report_anchors(runner, model, origin)

    def _read_anchors(self, model: CAGSegmentor) -> tuple[Tensor, Tensor]:
        if model.pseudo_label_head.is_auto:
            raise UserError(
                f"AnchorHook: init_from={self.init_from} and margin='auto', "
                'which is chosen as anchors are computed; expected a number'
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
        if model.pseudo_label_head.is_auto:
            like = model.anchor_bank.anchors
            sample = PixelSample(self.margin_pixels, len(loader.dataset), like)
        batches = track(
            loader,
            f'Anchors, stage {model.stage.item()}',
            disable=not is_main_process(),
        )
        for batch in batches:
            count_skipped(runner, batch['data_samples'])
            images, samples = _preprocess_source(model, batch)
            # In the precision of the training step, as labels will be made.
            with runner.optim_wrapper.optim_context(runner.model):
                model.collect_centroids(centroids, sample, images, samples)
        model.store_anchors(centroids, sample)


def build_loader(runner: Runner) -> DataLoader:
    """Build the dataloader that the anchors are computed by.

    Raises:
        UserError: Its data set has other classes than that of training.
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
    ignore_signals_in_workers(loader)
    return loader


def report_anchors(runner: Runner, model: CAGSegmentor, origin: str) -> None:
    """Log which classes have an anchor; raise an alarm for those without.

    Args:
        runner: The run.
        model: The model that has the anchors.
        origin: Where they are from.
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
            "assigned as a pseudo label; see that the source's labels "
            'have it'
        )
        write_alarm(runner, Alarm('no_anchor', None, message))


def _preprocess_source(model: CAGSegmentor, batch: dict) -> tuple:
    batch = {key: {'source': value} for key, value in batch.items()}
    batch = model.data_preprocessor(batch)
    return batch['inputs']['source'], batch['data_samples']['source']
