# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.segmentors.base import bare_model, gt_labels
from mmseg_cag.models.segmentors.foreign_anchors import ForeignAnchorSegmentor
from mmseg_cag.progress import track

from .stages import anchor_loader, build_loader, preprocess_source


@HOOKS.register_module()
class ForeignAnchorHook(Hook):
    """Compute the anchors of a foreign encoder before the first step.

    Two passes over the ``anchor_dataloader`` of the config: one for k-means,
    covariance and margin, one for the exact means over all ranks. A resumed
    run has them in its checkpoint.
    """

    priority = 'BELOW_NORMAL'

    def check_ahead(self, cfg: dict, model: nn.Module) -> None:
        """Check the method and the source, before any training.

        Args:
            cfg: The run's config.
            model: Its network.

        Raises:
            UserError: The method has no foreign encoder, or the config has no
                ``anchor_dataloader``.
        """
        if not isinstance(model, ForeignAnchorSegmentor):
            raise UserError(
                f'ForeignAnchorHook: model.type={type(model).__name__}, '
                'expected ForeignAnchorSegmentor'
            )
        anchor_loader(cfg)

    def before_train(self, runner: Runner) -> None:
        """Compute the anchors unless they exist.

        Raises:
            UserError: The method has no foreign encoder, or the config has no
                ``anchor_dataloader``.
        """
        model = bare_model(runner)
        self.check_ahead(runner.cfg, model)
        head = model.foreign_head
        if not head.anchor_bank.counts.any():
            loader = build_loader(runner)
            titles = iter(('Foreign pixels', 'Foreign anchors'))

            def maps() -> Iterator[tuple[Any, Tensor]]:
                title = next(titles)
                quiet = not is_main_process()
                for batch in track(loader, title, disable=quiet):
                    images, samples = preprocess_source(model, batch)
                    # In the precision of the training step.
                    with runner.optim_wrapper.optim_context(runner.model):
                        found = model.foreign_maps(images)
                    yield found, gt_labels(samples)

            head.fit(maps, len(loader.dataset))
        margin = head.pseudo_label_head.margin.max().item()
        runner.logger.info(
            f'{int((head.anchor_bank.counts > 0).sum())} foreign anchors, '
            f'margin {margin:.3g}'
        )
