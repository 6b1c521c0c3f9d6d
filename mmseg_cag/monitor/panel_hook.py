# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor

from mmseg_cag.models.segmentors.base import bare_model
from mmseg_cag.visualization import colorize

from .observer_hook import WatchHook

# legend: N images, K classes, H W image, h w feature map


@HOOKS.register_module()
class PanelHook(WatchHook):
    """Draw target images of a step with predictions and pseudo labels.

    Side by side: the input, the student's prediction and, with a teacher, the
    pseudo labels, black where there is none. Images are the loader's, in BGR
    as mmcv loads them.

    Args:
        interval: Iterations between panels; 0 for none.
        images: Number of the batch's images, one per row.
    """

    def __init__(self, interval: int = 5000, images: int = 2) -> None:
        super().__init__(interval)
        self.images = images

    @master_only
    def look(
        self, runner: Runner, maps: dict[str, Tensor], data_batch: dict
    ) -> None:
        """Draw the step's target images in the visualizer."""
        palette = runner.train_dataloader.dataset.metainfo['palette']
        images = data_batch['inputs']['target'][: self.images]
        shown = [maps['student'].argmax(1)]
        shown += [maps[k] for k in ('anchor', 'probability') if k in maps][:1]
        size = maps['images'].shape[-2:]
        shown = [enlarge(labels, size) for labels in shown]
        rows = []
        for index, image in enumerate(images):
            image = image.flip(0).movedim(0, -1).cpu().numpy()
            height, width = image.shape[:2]  # without padding
            drawn = [
                colorize(x[index, :height, :width], palette) for x in shown
            ]
            rows.append(np.hstack([image, *drawn]))
        runner.visualizer.add_image(
            'target', _stack(rows), step=runner.iter + 1
        )


def enlarge(labels: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Enlarge labels (N, h, w) to (N, H, W), uint8."""
    labels = labels.unsqueeze(1).to(torch.uint8)
    return F.interpolate(labels, size, mode='nearest')[:, 0].cpu().numpy()


def _stack(rows: list[np.ndarray]) -> np.ndarray:
    """Stack images of different widths vertically."""
    width = max(row.shape[1] for row in rows)
    return np.vstack(
        [
            np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)))
            for row in rows
        ]
    )


@HOOKS.register_module()
class TranslationPanelHook(Hook):
    """Draw images of a batch, their translations and reconstructions.

    A panel has a row for each image, the source's first, and goes to the
    runner's visualizer.

    Args:
        interval: Iterations between panels.
        num_images: Images of each domain.
    """

    def __init__(self, interval: int = 1000, num_images: int = 2) -> None:
        self.interval = interval
        self.num_images = num_images

    @master_only
    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Draw a panel at the interval."""
        if self.every_n_train_iters(runner, self.interval):
            panel = draw_panel(bare_model(runner), data_batch, self.num_images)
            runner.visualizer.add_image(
                'translation',
                panel.permute(1, 2, 0).cpu().numpy(),
                runner.iter + 1,
            )


@torch.no_grad()
def draw_panel(
    model: torch.nn.Module, data_batch: dict, num_images: int
) -> Tensor:
    """Draw images of a batch, their translations and reconstructions.

    Args:
        model: An `ImageTranslator`.
        data_batch: A collated batch of both domains.
        num_images: Images of each domain.

    Returns:
        RGB panel (3, H, W), uint8.
    """
    images = model.data_preprocessor(data_batch)['inputs']
    images = {d: image[:num_images] for d, image in images.items()}
    there, back = model.translate(images)
    other = dict(zip(images, reversed(images), strict=True))
    rows = []
    for domain in images:
        own, kind = model.grey_levels(domain), model.grey_levels(other[domain])
        views = (
            own.of(images[domain]),
            kind.of(there[domain]),
            own.of(back[domain]),
        )
        rows += torch.cat(views, dim=-1)
    panel = torch.cat(rows, dim=-2).flip(0)
    return panel.round().clamp(0, 255).to(torch.uint8)
