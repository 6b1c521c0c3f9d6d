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
    """Accepts any image name; OpenCV crashes on invalid UTF-8."""

    def add_image(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Write an image with an escaped name."""
        super().add_image(escape_control_chars(name), *args, **kwargs)


@VISBACKENDS.register_module()
class OptionalTensorboardVisBackend(_AnyName, TensorboardVisBackend):
    """TensorBoard backend; a logged no-op if TensorBoard is missing.

    Does not store the config, which mmengine's own backend writes to a file:
    formatting it takes seconds.
    """

    def _init_env(self) -> None:
        """Create the writer at its first use."""
        if find_spec('tensorboard'):
            super()._init_env()
            return
        self._tensorboard = NoWriter()
        print_log(
            'TensorBoard is not installed (pip install tensorboard): curves '
            'go to vis_data/scalars.json only',
            'current',
        )

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Skip the config."""


class NoWriter:
    """No-op replacement of `SummaryWriter`."""

    def add_scalar(self, *args: Any) -> None:
        """Ignore a number."""

    def add_image(self, *args: Any, **kwargs: Any) -> None:
        """Ignore an image."""

    def close(self) -> None:
        """Do nothing."""


@VISBACKENDS.register_module()
class BestEffortVisBackend(_AnyName, LocalVisBackend):
    """Local backend that never stops a run on a write error.

    If a line cannot be written, as on a full disk, it warns once.

    Args:
        *args: Arguments of mmengine's backend.
        **kwargs: Arguments of mmengine's backend.
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
