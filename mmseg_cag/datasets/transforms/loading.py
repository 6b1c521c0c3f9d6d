# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mmseg_cag.datasets.published import PUBLISHED_LABELS, IdMap
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.array_cache import ArrayCache
from mmseg_cag.fileio.images import read_image


@TRANSFORMS.register_module()
class LoadImageOnDemand(BaseTransform):
    """Load an image; with a cache, `RandomResizeCrop` reads only its window.

    Gives the same pixels as mmseg's ``LoadImageFromFile``; errors name the
    damaged file. Writes ``img``, ``img_shape`` and ``ori_shape``.

    Args:
        cache_dir: Folder that caches decoded pixels, of which only the window
            is read. ``off`` or None disables it.
        backend_args: Arguments of mmengine's file backend.
    """

    def __init__(
        self,
        cache_dir: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        self.backend_args = backend_args
        self.cache = open_cache(cache_dir)

    def transform(self, results: dict) -> dict:
        """Add ``img`` to the sample.

        Args:
            results: The sample; ``img_path`` names the file.

        Raises:
            MissingFileError: There is no such file.
            UserError: It is not an image, or the cache cannot be written.
        """
        path = results['img_path']
        image = _cached(
            self.cache,
            path,
            'BGR',
            lambda: read_image(path, self.backend_args),
        )
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


# legend: H W image


@TRANSFORMS.register_module()
class LoadLabelIds(BaseTransform):
    """Read a label file of raw ids and map them to train ids.

    Writes ``gt_seg_map``, uint8 (H, W). Void ids become ``ignore_index``;
    unknown ids raise an error. The dataset's ``label_map`` (a class selection)
    is applied afterwards.

    Args:
        ids: The format of the label files: ``cityscapes`` (labelIds),
            ``gta`` (palette PNG of Cityscapes ids), ``synthia`` (16-bit,
            class in the red channel) or ``trainids`` (labelTrainIds, and
            what ``tools/dataset_converters`` write).
        ignore_index: Train id of everything that is not evaluated.
        cache_dir: Folder that caches train ids of each file. ``off`` or None
            disables it.
        backend_args: Arguments of mmengine's file backend.

    Attributes:
        train_ids: Raw id to train id.
        void_ids: Known raw ids without training.
        bit_depth: Bits of an id on disk.
        map_ids: Maps raw ids of a file to train ids.

    Raises:
        UserError: ``ids`` is not a known format, or ``ignore_index`` is a
            class or no 8-bit number.
    """

    fits_image = True

    def __init__(
        self,
        ids: str,
        ignore_index: int = 255,
        cache_dir: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        if ids not in PUBLISHED_LABELS:
            raise UserError(
                f'LoadLabelIds: ids={ids!r} is unknown, expected one of '
                f'{sorted(PUBLISHED_LABELS)}'
            )
        train_ids = PUBLISHED_LABELS[ids].train_ids
        if not max(train_ids.values()) < ignore_index < 2**8:
            raise UserError(
                f'LoadLabelIds: ignore_index={ignore_index}, expected an '
                'unused 8-bit index'
            )
        self.ids = ids
        self.backend_args = backend_args
        self.ignore_index = ignore_index
        self.cache = open_cache(cache_dir)
        form = PUBLISHED_LABELS[ids]
        self.train_ids = dict(form.train_ids)
        self.void_ids = set(form.void_ids)
        self.bit_depth = form.bit_depth
        self.map_ids = IdMap(self.train_ids, self.void_ids, ignore_index)

    def read_ids(self, path: str) -> np.ndarray:
        """Read the raw ids of a file.

        Args:
            path: The label file.

        Returns:
            Raw ids, uint8 or uint16 (H, W).

        Raises:
            UserError: The file cannot be read as a map of this format.
        """
        try:
            return PUBLISHED_LABELS[self.ids].read(path, self.backend_args)
        except (OSError, SyntaxError) as error:
            raise UserError(
                f'{path}: cannot be read as a {self.ids} label map ({error})'
            ) from error

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map`` to the sample.

        Args:
            results: The sample; ``seg_map_path`` names the label file.

        Raises:
            UserError: The file cannot be read or holds an unknown id.
        """
        path, choice = results['seg_map_path'], results.get('label_map')
        labels = _cached(
            self.cache,
            path,
            f'{self.ids} {self.train_ids} {self.void_ids} '
            f'{self.ignore_index} {choice}',
            lambda: self.map_ids(self.read_ids(path), path, choice),
        )
        results['gt_seg_map'] = fit_label(labels, results)
        results['seg_fields'].append('gt_seg_map')
        return results


# Tolerance between the aspect ratios of image and label. GTA5 has pairs of
# different sizes, which the releases resize to one.
SHAPE_TOLERANCE = 0.05


def alike(
    size: tuple[int, int],
    other: tuple[int, int],
    tolerance: float = SHAPE_TOLERANCE,
) -> bool:
    """Return whether two sizes have the same aspect ratio."""
    ratio = size[0] * other[1] / (size[1] * other[0])
    return abs(ratio - 1) <= tolerance


def fit_label(labels: np.ndarray, results: dict) -> np.ndarray:
    """Resize a label map to its image's size (nearest).

    Args:
        labels: uint8 (H, W).
        results: The sample; ``ori_shape`` is the size of the image. Labels of
            translated images, resized later, are unchanged.

    Raises:
        UserError: Their aspect ratios differ by more than 5 %.
    """
    size = tuple(results.get('ori_shape', labels.shape)[:2])
    if labels.shape == size or results.get('translated'):
        return labels
    if not alike(size, labels.shape):
        raise UserError(
            f'{results["seg_map_path"]}: expected the size of its image, '
            f'{size[1]}x{size[0]}, found {labels.shape[1]}x{labels.shape[0]}'
        )
    return cv2.resize(
        labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT
    )


def _cached(
    cache: ArrayCache | None,
    path: str,
    content: str,
    make: Callable[[], np.ndarray],
) -> np.ndarray:
    return cache.get(path, content, make) if cache else make()


def open_cache(folder: str | None) -> ArrayCache | None:
    """Open the configured cache; ``off`` or None gives none."""
    return None if folder in (None, 'off') else ArrayCache(folder)
