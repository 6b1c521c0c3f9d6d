# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmseg_cag.errors import MissingFileError, UserError

from .images import IMAGE_ENDINGS, find_images, show_images
from .outputs import open_folder
from .video import VIDEO_ENDINGS, open_video, show_video

Way = Callable[[Path, Path, Callable[[np.ndarray], np.ndarray]], list[Path]]


def find_way(source: Path) -> Way:
    """Choose how an input is shown, by what it is.

    Raises:
        MissingFileError: It does not exist.
        UserError: It is none of image, folder of images and readable video.
    """
    if not source.exists():
        raise MissingFileError(f'{source}: no such image, folder or video')
    suffix = source.suffix.lower()
    if source.is_dir():
        find_images(source)
        return show_images
    if suffix in IMAGE_ENDINGS:
        return show_images
    if suffix in VIDEO_ENDINGS:
        open_video(source)
        return show_video
    raise UserError(
        f'{source}: expected a folder or a file '
        f'{" ".join(IMAGE_ENDINGS + VIDEO_ENDINGS)}'
    )


def show_input(
    source: Path,
    folder: Path,
    checkpoint: Path,
    view: Callable[[np.ndarray], np.ndarray],
) -> list[Path]:
    """Write a view of an image, of each image in a folder or of a video.

    Args:
        source: The input.
        folder: Where the views go.
        checkpoint: What made them, for the note in the folder.
        view: Makes a view of an image, both (H, W, 3) uint8, BGR.

    Returns:
        The files that were written.

    Raises:
        UserError: The input or the folder is not what is expected.
    """
    way = find_way(source)
    open_folder(folder, checkpoint, source)
    return way(source, folder, view)
