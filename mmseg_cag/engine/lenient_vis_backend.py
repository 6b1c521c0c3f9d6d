# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.visualization import LocalVisBackend
from mmseg.registry import VISBACKENDS


@VISBACKENDS.register_module()
class LenientVisBackend(LocalVisBackend):
    """mmengine's curves on the local disk, without which a run goes on.

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
