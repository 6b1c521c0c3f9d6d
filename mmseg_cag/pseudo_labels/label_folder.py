# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_cag.engine.origin_folder import OriginFolder

from .label_note import NOTE


class LabelFolder(OriginFolder):
    """A folder of pseudo labels that appears complete or not at all.

    Args:
        path: The folder.
        origin: All that its labels depend on, as plain data of JSON.
    """

    def __init__(self, path: Path, origin: dict) -> None:
        super().__init__(path, origin, NOTE, 'pseudo labels')
        self.predictions = self.draft / 'predictions'

    def write(self, name: str, labels: np.ndarray) -> None:
        """Write a label map (H, W) uint8 to the draft."""
        Image.fromarray(labels).save(self.file(name))

    def finish(self, results: dict) -> None:
        """Note the results and give the draft the folder's name."""
        shutil.rmtree(self.predictions)
        super().finish(results)
