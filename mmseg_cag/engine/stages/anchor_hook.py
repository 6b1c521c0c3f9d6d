# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, HOOKS
from torch import Tensor

from mmseg_cag.datasets.skip_bad_files import SkipBadFiles
from mmseg_cag.engine.checks.check_data_hook import check_files
from mmseg_cag.engine.checks.data_fingerprint_hook import SAME
from mmseg_cag.engine.records.skipped_files_hook import count_skipped
from mmseg_cag.engine.resilience.stop_request import shield_workers
from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.anchor_file import read_category_anchors
from mmseg_cag.models.anchors.pixel_sampler import PixelSample
from mmseg_cag.models.segmentors.cag import CAGSegmentor
from mmseg_cag.models.unwrap import bare_model
from mmseg_cag.monitor.alarms.alarm import Alarm, write_alarm
from mmseg_cag.progress import track

from .labeler_hook import LabelerHook
from .stage_hook import StageHook


@HOOKS.register_module()
class AnchorHook(StageHook):
    """Compute the anchors over the source set as a stage begins.

    Runs after `LabelerHook`: the centroids are those of the new labeler.
    Each rank takes its share of the source images, each image once.

    Args:
        stage_iters: Iterations of a stage.
        dataloader: Config of the source's dataloader, without augmentation;
            its sampler must not repeat images (``round_up=False``).
        recompute: Whether each stage computes them anew; else those that are
            there, computed once or loaded, are kept with their margin.
        init_from: File of anchors that the run begins with in the place of
            computed ones: the release's or one of ``import_anchors.py``.
        margin_pixels: Source pixels that an automatic margin is chosen on.
        images: Source images that the anchors are computed on, evenly spread
            over the files; None for all.
        workers: Threads that open files when the data is checked.
    """

    priority = 'BELOW_NORMAL'

    def __init__(
        self,
        stage_iters: int,
        dataloader: dict,
        recompute: bool = True,
        init_from: str | None = None,
        margin_pixels: int = 100_000,
        images: int | None = None,
        workers: int = 16,
    ) -> None:
        super().__init__(stage_iters)
        if images is not None and images < 1:
            raise UserError(
                f'AnchorHook: images={images}, expected at least 1, or None '
                'for all'
            )
        self.dataloader = dataloader
        self.recompute = recompute
        self.init_from = init_from
        self.margin_pixels = margin_pixels
        self.images = images
        self.workers = workers

    def before_train(self, runner: Runner) -> None:
        """Check the stages and the data that the anchors come from.

        Raises:
            UserError: No hook makes the labeler, the data has other classes
                than the training set, or a file cannot be used.
        """
        super().before_train(runner)
        if not any(isinstance(hook, LabelerHook) for hook in runner.hooks):
            raise UserError(
                'AnchorHook: custom_hooks has no LabelerHook, whose labeler '
                'the anchors are of'
            )
        if self.init_from:
            self._read_anchors(bare_model(runner))
        training = runner.train_dataloader.dataset
        if self.images is not None:
            self.dataloader = {
                **self.dataloader,
                'dataset': spread_subset(
                    self.dataloader['dataset'], self.images
                ),
            }
        if isinstance(getattr(training, 'source', None), SkipBadFiles):
            self.dataloader = {
                **self.dataloader,
                'dataset': dict(
                    type='SkipBadFiles', dataset=self.dataloader['dataset']
                ),
            }
        dataset = DATASETS.build(self.dataloader['dataset'])
        classes = training.metainfo['classes']
        if list(dataset.metainfo['classes']) != list(classes):
            raise UserError(
                'AnchorHook: dataloader.dataset has the classes '
                f'{dataset.metainfo["classes"]}, expected those of training, '
                f'{classes}'
            )
        # What a run goes on with was checked when it began.
        same = runner.message_hub.get_info(SAME, False)
        if is_main_process() and not same:
            check_files(dataset, labelled=True, workers=self.workers)

    @torch.no_grad()
    def begin_stage(self, runner: Runner) -> None:
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
        self._report(runner, model, origin)

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
        loader = runner.build_dataloader(self.dataloader, seed=runner.seed)
        shield_workers(loader)
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

    def _report(
        self, runner: Runner, model: CAGSegmentor, origin: str
    ) -> None:
        counts = model.anchor_bank.counts
        margins = sorted({*model.pseudo_label_head.margin.tolist()})
        classes = runner.train_dataloader.dataset.metainfo['classes']
        absent = [
            name
            for name, n in zip(classes, counts.tolist(), strict=True)
            if not n
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


def spread_subset(dataset: dict, images: int) -> dict:
    """Take so many images of a data set, evenly spread over its files.

    Args:
        dataset: Config of a data set of mmseg.
        images: How many; all of them if there are fewer.

    Raises:
        UserError: The data set is a wrapper of others.
    """
    whole = DATASETS.build(dataset)
    if not isinstance(whole, BaseSegDataset):
        raise UserError(
            f'AnchorHook: images={images} takes a part of a data set of '
            f'mmseg, dataloader.dataset is a {type(whole).__name__}'
        )
    if images >= len(whole):
        return dataset
    indices = [i * len(whole) // images for i in range(images)]
    return {**dataset, 'indices': indices}


def _preprocess_source(model: CAGSegmentor, batch: dict) -> tuple:
    batch = {key: {'source': value} for key, value in batch.items()}
    batch = model.data_preprocessor(batch)
    return batch['inputs']['source'], batch['data_samples']['source']
