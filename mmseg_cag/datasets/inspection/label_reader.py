# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Common interface of pipeline transforms that read labels.

A transform needs three members: ``read_ids(path)``, the raw ids (H, W) of a
file; ``train_ids``, raw id to train id; ``void_ids``, known raw ids without
training. Three more are optional: ``bit_depth``, bits of an id on disk, to
check headers; ``classes``, names of the train ids; ``show_ids(ids)``, which
formats raw ids for the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadAnnotations
from mmengine import fileio
from mmseg.datasets import BaseSegDataset

from mmseg_cag.datasets.transforms.loading import LoadLabelIds
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.images import check_png

# Id of unlabelled pixels in mmseg's label files.
MMSEG_IGNORED = 255


class LabelReader(Protocol):
    """Interface of a label-reading transform for the data check."""

    train_ids: dict[int, int]
    void_ids: set[int]

    def read_ids(self, path: str) -> np.ndarray:
        """Read raw ids (H, W)."""


class TrainIdReader:
    """Reader for mmseg's `LoadAnnotations`: train ids and 255.

    Args:
        step: The transform.
        classes: Number of classes in the files.
        reduce_zero_label: Whether id 0 is void and the others shift down.
    """

    bit_depth = 8

    def __init__(
        self, step: LoadAnnotations, classes: int, reduce_zero_label: bool
    ) -> None:
        first = int(reduce_zero_label)
        self.train_ids = {i + first: i for i in range(classes)}
        self.void_ids = {MMSEG_IGNORED, *range(first)}
        self.step = step

    def read_ids(self, path: str) -> np.ndarray:
        """Read the train ids (H, W) of a file in their stored type.

        Raises:
            UserError: The file cannot be decoded to a map (H, W).
        """
        try:
            raw = fileio.get(path, backend_args=self.step.backend_args)
            check_png(raw)
            ids = mmcv.imfrombytes(
                raw, flag='unchanged', backend=self.step.imdecode_backend
            )
        # Pillow raises ValueError for invalid numbers.
        except (OSError, SyntaxError, ValueError, cv2.error) as error:
            raise UserError(f'{path}: cannot be decoded ({error})') from error
        ids = np.empty(0) if ids is None else ids.squeeze()
        if ids.ndim != 2:
            raise UserError(
                f'{path}: expected one id per pixel, found shape {ids.shape}'
            )
        return ids


def label_reader(dataset: BaseSegDataset) -> LabelReader | None:
    """Return a dataset's label-reading transform, or None."""
    pipeline = getattr(dataset, 'pipeline', None)  # another kind of dataset
    for step in getattr(pipeline, 'transforms', ()):
        if hasattr(step, 'read_ids'):
            return step
        if isinstance(step, LoadAnnotations):
            classes = dataset.METAINFO.get('classes') or dataset.metainfo.get(
                'classes', ()
            )
            # Another kind of data set has no such setting.
            reduced = getattr(dataset, 'reduce_zero_label', False)
            return TrainIdReader(step, len(classes), reduced)
    return None


def show_ids(labels: LabelReader, ids: Sequence[int]) -> str:
    """Format raw ids for the user, with their transform if it can."""
    if hasattr(labels, 'show_ids'):
        return labels.show_ids(ids)
    return ' '.join(map(str, ids))


def advise_on_unknown_ids(labels: LabelReader) -> str:
    """Advise on ids unknown to a transform; empty by default."""
    name = type(labels).__name__
    if isinstance(labels, LoadLabelIds):
        return (
            f'The file is not of the format ids={labels.ids!r} of {name}: set '
            'ids to its format, or replace it if it is damaged or foreign.'
        )
    if hasattr(labels, 'classes'):
        return (
            f'Add each id to ids of {name} if it is a class, else to void_ids.'
        )
    return ''
