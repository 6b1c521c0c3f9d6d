# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.visualization import TensorboardVisBackend
from mmseg.registry import VISBACKENDS


@VISBACKENDS.register_module()
class OptionalTensorboardVisBackend(TensorboardVisBackend):
    """TensorBoard where it is installed; without it nothing, which is said.

    The config is left to mmengine's own backend, which keeps it in a file:
    formatting it takes seconds.
    """

    def _init_env(self) -> None:
        """Start the writer as it is first used."""
        if find_spec('tensorboard'):
            super()._init_env()
            return
        self._tensorboard = NoWriter()
        print_log(
            'TensorBoard is not installed (pip install tensorboard): '
            'curves go to vis_data/scalars.json alone',
            'current',
        )

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Leave the config out."""


class NoWriter:
    """Takes what a `SummaryWriter` takes and keeps none of it."""

    def add_scalar(self, *args: Any) -> None:
        """Take a number."""

    def add_image(self, *args: Any, **kwargs: Any) -> None:
        """Take an image."""

    def close(self) -> None:
        """Have nothing to write."""
