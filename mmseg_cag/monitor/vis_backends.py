# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.visualization import LocalVisBackend, TensorboardVisBackend
from mmseg.registry import VISBACKENDS

from mmseg_cag.errors import escape_control_chars


class _AnyName:
    """Takes images of any name; OpenCV crashes at one that is no UTF-8."""

    def add_image(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Write an image, with the bytes of its name escaped."""
        super().add_image(escape_control_chars(name), *args, **kwargs)


@VISBACKENDS.register_module()
class OptionalTensorboardVisBackend(_AnyName, TensorboardVisBackend):
    """TensorBoard backend; a logged no-op if TensorBoard is missing.

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
        """Do nothing."""


@VISBACKENDS.register_module()
class BestEffortVisBackend(_AnyName, LocalVisBackend):
    """Local backend that never stops a run on a write error.

    Where a line cannot be written, as on a full disk, that is said once.

    Args:
        *args: Those of mmengine's backend.
        **kwargs: Those of mmengine's backend.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._warned = False

    def _dump(
        self, value_dict: dict, file_path: str, file_format: str
    ) -> None:
        try:
            super()._dump(value_dict, file_path, file_format)
        except OSError as error:
            if not self._warned:
                print_log(
                    f'{file_path}: could not be written ({error.strerror}); '
                    'training goes on',
                    'current',
                    logging.ERROR,
                )
            self._warned = True
