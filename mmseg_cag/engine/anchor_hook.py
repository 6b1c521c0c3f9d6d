# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from mmseg.registry import DATASETS, HOOKS
from rich.progress import track

from mmseg_cag.errors import UserError
from mmseg_cag.models.pixel_sample import PixelSample
from mmseg_cag.models.segmentors import CAGSegmentor

from .check_data_hook import check_files
from .stage_hook import StageHook, bare_model


@HOOKS.register_module()
class AnchorHook(StageHook):
    """Recompute the anchors over the source set as a stage begins.

    Runs after `LabelerHook`: the centroids are those of the new labeler.
    Each rank takes its share of the source images, each image once.

    Args:
        stage_iters: Iterations of a stage.
        dataloader: Config of the source's dataloader, without augmentation;
            its sampler must not repeat images (``round_up=False``).
        margin_pixels: Source pixels that an automatic margin is chosen on.
        workers: Threads that open files when the data is checked.
    """

    priority = 'BELOW_NORMAL'

    def __init__(
        self,
        stage_iters: int,
        dataloader: dict,
        margin_pixels: int = 100_000,
        workers: int = 16,
    ) -> None:
        super().__init__(stage_iters)
        self.dataloader = dataloader
        self.margin_pixels = margin_pixels
        self.workers = workers

    def before_train(self, runner: Runner) -> None:
        """Check the stages and the data that the anchors come from.

        Raises:
            UserError: The data has other classes than the training set, or
                a file of it cannot be opened.
        """
        super().before_train(runner)
        dataset = DATASETS.build(self.dataloader['dataset'])
        classes = runner.train_dataloader.dataset.metainfo['classes']
        if list(dataset.metainfo['classes']) != list(classes):
            raise UserError(
                'AnchorHook: dataloader.dataset has the classes '
                f'{dataset.metainfo["classes"]}, expected those of training, '
                f'{classes}'
            )
        if is_main_process():
            check_files(dataset, labelled=True, workers=self.workers)

    @torch.no_grad()
    def begin_stage(self, runner: Runner, stage: int) -> None:
        """Compute centroids with the labeler and make them the anchors."""
        model = bare_model(runner)
        loader = runner.build_dataloader(self.dataloader, seed=runner.seed)
        centroids = model.anchor_bank.new_centroids()
        sample = None
        if model.pseudo_label_head.is_auto:
            like = model.anchor_bank.anchors
            sample = PixelSample(self.margin_pixels, len(loader.dataset), like)
        batches = track(
            loader, f'Anchors, stage {stage}', disable=not is_main_process()
        )
        for batch in batches:
            images, samples = _preprocess_source(model, batch)
            model.collect_centroids(centroids, sample, images, samples)
        model.store_anchors(centroids, sample)
        self._report(runner, model)

    def _report(self, runner: Runner, model: CAGSegmentor) -> None:
        counts = model.anchor_bank.counts
        margins = model.pseudo_label_head.margin.tolist()
        classes = runner.train_dataloader.dataset.metainfo['classes']
        absent = [
            name
            for name, n in zip(classes, counts.tolist(), strict=True)
            if not n
        ]
        runner.logger.info(
            f'Anchors of {len(classes) - len(absent)} classes computed, '
            f'margin {min(margins):.3g} to {max(margins):.3g}'
        )
        if absent:
            runner.logger.warning(
                f'No source pixel of {", ".join(absent)}: no anchor, never '
                'assigned as a pseudo label'
            )


def _preprocess_source(model: CAGSegmentor, batch: dict) -> tuple:
    batch = {key: {'source': value} for key, value in batch.items()}
    batch = model.data_preprocessor(batch)
    return batch['inputs']['source'], batch['data_samples']['source']
