# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mmseg_cag.data_check.folders import IMAGE_ENDINGS
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.images import imdecode
from mmseg_cag.progress import track


def find_images(source: Path) -> list[Path]:
    """List an image, or the images of a folder and its subfolders.

    Raises:
        UserError: The folder has none.
    """
    if not source.is_dir():
        return [source]
    paths = [
        path
        for path in sorted(source.rglob('*'))
        if path.suffix.lower() in IMAGE_ENDINGS and path.is_file()
    ]
    if not paths:
        raise UserError(
            f'{source}: no images in this folder, expected files '
            f'{" ".join(IMAGE_ENDINGS)}'
        )
    return paths


def show_images(
    source: Path, folder: Path, view: Callable[[np.ndarray], np.ndarray]
) -> list[Path]:
    """Write a view of each image as a PNG, in the same subfolders.

    Args:
        source: An image, or a folder of images.
        folder: Where the views go.
        view: Makes a view of an image, both BGR.

    Returns:
        The files that were written.

    Raises:
        UserError: A file is no image.
    """
    root = source if source.is_dir() else source.parent
    written = []
    for path in track(find_images(source), 'images'):
        name = path.relative_to(root)
        # a.jpg becomes a.jpg.png: a.png may be there as well.
        ending = '' if name.suffix == '.png' else '.png'
        out = folder / name.with_name(f'{name.name}{ending}')
        out.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(out), view(read_image(path)))
        written.append(out)
    return written


def read_image(path: Path) -> np.ndarray:
    """Read an image (H, W, 3) uint8, BGR, turned as its camera says."""
    image = imdecode(path.read_bytes(), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f'{path}: not readable as an image')
    return image
