# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.dist import is_main_process
from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from rich.progress import track

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
    """

    priority = 'BELOW_NORMAL'

    def __init__(self, stage_iters: int, dataloader: dict) -> None:
        super().__init__(stage_iters)
        self.dataloader = dataloader

    @torch.no_grad()
    def begin_stage(self, runner: Runner, stage: int) -> None:
        """Compute centroids with the labeler and make them the anchors."""
        model = bare_model(runner)
        bank = model.anchor_bank
        centroids = bank.new_centroids()
        loader = runner.build_dataloader(self.dataloader, seed=runner.seed)
        batches = track(
            loader, f'Anchors, stage {stage}', disable=not is_main_process()
        )
        for batch in batches:
            images, samples = _preprocess_source(model, batch)
            model.collect_centroids(centroids, images, samples)
        centroids.reduce()
        bank.store(centroids)
        self._report(runner, bank.counts)

    def _report(self, runner: Runner, counts: torch.Tensor) -> None:
        classes = runner.train_dataloader.dataset.metainfo['classes']
        absent = [
            name
            for name, n in zip(classes, counts.tolist(), strict=True)
            if not n
        ]
        runner.logger.info(
            f'Anchors of {len(classes) - len(absent)} classes computed'
        )
        if absent:
            runner.logger.warning(
                f'No source pixel of {", ".join(absent)}: no anchor, never '
                'assigned as a pseudo label'
            )


def _preprocess_source(model: BaseModel, batch: dict) -> tuple:
    batch = {key: {'source': value} for key, value in batch.items()}
    batch = model.data_preprocessor(batch)
    return batch['inputs']['source'], batch['data_samples']['source']
