# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmseg.registry import TRANSFORMS
from PIL import Image, UnidentifiedImageError

from mmseg_cag.errors import UserError

from .label_ids import CITYSCAPES_IDS, SYNTHIA_IDS

# legend: H W image


def _decode_index(path: str, backend_args: dict | None) -> np.ndarray:
    """Read a grey or palette PNG; a palette's index is the id."""
    with fileio.get_local_path(path, backend_args=backend_args) as local:
        with Image.open(local) as image:
            return np.array(image)


def _decode_red16(path: str, backend_args: dict | None) -> np.ndarray:
    """Read the red channel of a 16-bit PNG, which Pillow would cut to 8."""
    raw = fileio.get(path, backend_args=backend_args)
    image = None
    if raw:  # OpenCV refuses an empty buffer in many lines
        buffer = np.frombuffer(raw, np.uint8)
        image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise UnidentifiedImageError('OpenCV cannot decode it')
    red = 2  # OpenCV's order is blue, green, red
    return image[..., red] if image.ndim == 3 else image


# What mmseg's label maps say of a class that is not chosen.
MMSEG_IGNORED = 255
LABEL_FORMATS: dict[str, tuple[dict[int, int], Callable]] = {
    'cityscapes': (CITYSCAPES_IDS, _decode_index),
    'gta': (CITYSCAPES_IDS, _decode_index),
    'synthia': (SYNTHIA_IDS, _decode_red16),
}


@TRANSFORMS.register_module()
class LoadLabelIds(BaseTransform):
    """Read a label file of raw ids and map them to train ids on the fly.

    Writes ``gt_seg_map``, uint8 (H, W). Ids without a train id become
    ``ignore_index``; the data set's own ``label_map`` (a choice of classes)
    is applied after.

    Args:
        ids: The format of the label files: ``cityscapes`` (labelIds),
            ``gta`` (palette PNG of Cityscapes ids) or ``synthia`` (16-bit,
            class in the red channel).
        ignore_index: Train id of everything that is not evaluated.
        backend_args: Arguments of mmengine's file backend.

    Raises:
        UserError: ``ids`` is no known format, or a file is no label map.
    """

    def __init__(
        self,
        ids: str,
        ignore_index: int = 255,
        backend_args: dict | None = None,
    ) -> None:
        if ids not in LABEL_FORMATS:
            raise UserError(
                f'LoadLabelIds: ids={ids!r} is unknown, expected one of '
                f'{sorted(LABEL_FORMATS)}'
            )
        self.ids = ids
        self.backend_args = backend_args
        self.ignore_index = ignore_index
        table, self._decode = LABEL_FORMATS[ids]
        # One entry for every 16-bit value, so that no id is out of range.
        self._train_ids = np.full(2**16, ignore_index, np.uint8)
        self._train_ids[list(table)] = list(table.values())

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map`` to the sample.

        Args:
            results: The sample; ``seg_map_path`` names the label file.

        Raises:
            UserError: The file cannot be decoded to a map (H, W).
        """
        path = results['seg_map_path']
        try:
            ids = self._decode(path, self.backend_args)
        except (OSError, SyntaxError) as error:
            raise UserError(
                f'{path}: cannot be read as a {self.ids} label map ({error})'
            ) from error
        if ids.ndim != 2 or ids.dtype.kind != 'u':
            raise UserError(
                f'{path}: expected one {self.ids} id a pixel, found an image '
                f'of shape {ids.shape} and type {ids.dtype}'
            )
        labels = self._train_ids[ids]
        if results.get('label_map') is not None:
            labels = self._choose_classes(labels, results['label_map'])
        results['gt_seg_map'] = labels
        results['seg_fields'].append('gt_seg_map')
        return results

    def _choose_classes(
        self, labels: np.ndarray, label_map: dict[int, int]
    ) -> np.ndarray:
        chosen = np.full(2**8, self.ignore_index, np.uint8)
        for old, new in label_map.items():
            if new != MMSEG_IGNORED:
                chosen[old] = new
        return chosen[labels]
