# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_path import require_inside

# legend: H W image


class PredictionStore:
    """Predictions of many images on disk, so that memory holds one at a time.

    A file is there in full or not at all: what an interrupted run has
    predicted, the next one need not.

    Args:
        folder: Where they are kept until the labels are written.
        cap: The highest threshold there can be. Higher confidences are kept
            as the next float32, which changes neither a threshold below nor
            what is above it, and takes less space.
    """

    def __init__(self, folder: Path, cap: float) -> None:
        self.folder = folder
        self._highest = _not_below(cap)

    def has(self, name: str) -> bool:
        """Tell whether an image has been predicted."""
        return self._path(name).is_file()

    def write(
        self, name: str, labels: np.ndarray, confidences: np.ndarray
    ) -> None:
        """Keep the prediction of an image.

        Args:
            name: The image's, unique, with ``/`` between folders.
            labels: Predicted classes (H, W), uint8.
            confidences: Their probabilities (H, W), float32.

        Raises:
            UserError: The name leads out of the folder.
        """
        path = self._path(name)
        require_inside(path, self.folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f'{path.name}.part')
        with draft.open('wb') as file:
            np.savez_compressed(
                file,
                labels=labels,
                confidences=np.minimum(confidences, self._highest),
            )
        os.replace(draft, path)

    def read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Get an image's labels (H, W) uint8 and confidences float32.

        Raises:
            UserError: The file is damaged.
        """
        path = self._path(name)
        try:
            with np.load(path, allow_pickle=False) as kept:
                labels, confidences = kept['labels'], kept['confidences']
        # A zip file of texts and numbers, parsed in many ways.
        except Exception as error:
            raise UserError(
                f'{path}: a damaged prediction ({error}), remove it to have '
                'it made again'
            ) from error
        forms = [(part.dtype, part.shape) for part in (labels, confidences)]
        size = labels.shape
        if len(size) != 2 or forms != [(np.uint8, size), (np.float32, size)]:
            raise UserError(f'{path}: holds no prediction, remove it')
        return labels, confidences

    def _path(self, name: str) -> Path:
        return self.folder / f'{name}.npz'


def _not_below(value: float) -> np.float32:
    """Round up to float32."""
    rounded = np.float32(value)
    if float(rounded) < value:
        rounded = np.nextafter(rounded, np.float32(np.inf))
    return rounded
