# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dist import master_only
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor, nn

from mmseg_cag.engine.stage_hook import bare_model
from mmseg_cag.experiments.picture import paint

from .watch_hook import WatchHook

# legend: N images, K classes, H W image, h w feature map


@HOOKS.register_module()
class PanelHook(WatchHook):
    """Show target images as a step has them, by the visualizer.

    Side by side: the input, the student's prediction and, of a method with a
    labeler, the pseudo labels, black where a pixel has none.

    Args:
        interval: Iterations from one look to the next; 0 for none.
        images: How many of the batch's images are shown, below each other.
    """

    def __init__(self, interval: int = 0, images: int = 2) -> None:
        super().__init__(interval)
        self.images = images

    @master_only
    def look(self, runner: Runner, maps: dict[str, Tensor]) -> None:
        """Draw the step's target and hand it to the visualizer."""
        dataset_meta = runner.train_dataloader.dataset.metainfo
        preprocessor = bare_model(runner).data_preprocessor.target
        size = maps['images'].shape[-2:]
        columns = [to_rgb(maps['images'][: self.images], preprocessor)]
        labels = maps.get('anchor', maps.get('probability'))
        for shown in (maps['student'].argmax(1), labels):
            if shown is not None:
                shown = _enlarge(shown[: self.images], size)
                columns.append(paint(shown, dataset_meta['palette']))
        rows = np.concatenate(columns, axis=2)
        runner.visualizer.add_image(
            'target', np.concatenate(rows), step=runner.iter + 1
        )


def to_rgb(images: Tensor, preprocessor: nn.Module) -> np.ndarray:
    """Undo the normalisation of images.

    Args:
        images: Images (N, 3, H, W) float32 as the network gets them.
        preprocessor: What has normalised them.

    Returns:
        (N, H, W, 3) uint8, RGB.
    """
    images = images * preprocessor.std + preprocessor.mean
    if not preprocessor.channel_conversion:
        images = images.flip(1)
    images = images.round().clamp(0, 255).to(torch.uint8)
    return images.movedim(1, -1).cpu().numpy()


def _enlarge(labels: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Enlarge labels (N, h, w) to the size (H, W) of the images."""
    labels = labels.unsqueeze(1).to(torch.uint8)
    return F.interpolate(labels, size, mode='nearest')[:, 0].cpu().numpy()
