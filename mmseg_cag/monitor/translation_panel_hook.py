# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor

from mmseg_cag.models.unwrap import bare_model


@HOOKS.register_module()
class TranslationPanelHook(Hook):
    """Draw images of the batch, their translations, and the way back.

    A panel has a row for each image, the source's first, and goes to the
    runner's visualizer.

    Args:
        interval: Iterations from one panel to the next.
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
        """Draw a panel, now and then."""
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
    """Draw images of a batch, their translations, and the way back.

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
