# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmseg_cag.datasets.load_translated_image import NOTE
from mmseg_cag.engine.origin_folder import OriginFolder

# legend: H W image


class ImageFolder(OriginFolder):
    """A folder of translated images that appears complete or not at all.

    Args:
        path: The folder.
        origin: All that its images depend on, as plain data of JSON.
    """

    def __init__(self, path: Path, origin: dict) -> None:
        super().__init__(path, origin, NOTE, 'translated images')

    def has(self, name: str) -> bool:
        """Tell whether an image is in the draft."""
        return (self.draft / name).is_file()

    def write(self, name: str, image: np.ndarray) -> None:
        """Write a BGR image (H, W, 3) uint8 to the draft, in full or not."""
        path = self.file(name)
        part = path.with_name(f'{path.name}.part')
        _, data = cv2.imencode(path.suffix, image)
        part.write_bytes(data)
        os.replace(part, path)

    def describe(self, names: Iterable[str]) -> dict:
        """Count the images of the draft by size and note their names."""
        names = list(names)
        return {
            'images': len(names),
            'names_sha256': names_hash(names),
            'sizes': dict(Counter(self._size(name) for name in names)),
        }

    def _size(self, name: str) -> str:
        with Image.open(self.draft / name) as image:
            return f'{image.width}x{image.height}'


def names_hash(names: Iterable[str]) -> str:
    """Compute the SHA-256 of the names of files, in alphabetical order."""
    return hashlib.sha256('\n'.join(sorted(names)).encode()).hexdigest()
