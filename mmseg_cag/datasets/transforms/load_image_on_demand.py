# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmseg.registry import TRANSFORMS

from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.array_cache import open_cache
from mmseg_cag.fileio.images import imdecode
from mmseg_cag.fileio.lazy_png import LazyPng


@TRANSFORMS.register_module()
class LoadImageOnDemand(BaseTransform):
    """Open an image; `RandomResizeCrop` reads what it needs of it.

    The place of ``LoadImageFromFile`` in a pipeline whose next step on images
    is `RandomResizeCrop`. Plain PNGs are decoded down to the last row of the
    window; all other files are decoded whole, as mmseg does. Writes ``img``,
    ``img_shape`` and ``ori_shape``.

    Args:
        cache_dir: Folder that keeps the decoded pixels of each image; of
            these only the window is read. ``off`` or None: none.
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
            UserError: It is no image, or the cache cannot be written.
        """
        path = results['img_path']
        if self.cache:
            image = self.cache.get(
                path, 'image', lambda: decode_image(self._read(path), path)
            )
        else:
            image = self._open(path)
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _open(self, path: str) -> LazyPng | np.ndarray:
        content = self._read(path)
        return LazyPng.open(content, path) or decode_image(content, path)

    def _read(self, path: str) -> bytes:
        try:
            return fileio.get(path, backend_args=self.backend_args)
        except FileNotFoundError as error:
            raise MissingFileError(f'{path}: no such image') from error


def decode_image(content: bytes, path: str) -> np.ndarray:
    """Decode a file as ``LoadImageFromFile`` does.

    Args:
        content: The bytes of the file.
        path: Its name, for the error.

    Returns:
        uint8 (H, W, 3), blue first.

    Raises:
        UserError: OpenCV cannot decode it.
    """
    image = imdecode(content, cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f'{path}: cannot be decoded, expected an image')
    return image
