# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Read frames of a folder or video with OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from mmseg_cag.errors import MissingFileError, UserError

IMAGES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')
VIDEOS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg')


def open_cv2() -> ModuleType:
    """Import OpenCV, which the watch itself does not need.

    Raises:
        UserError: It is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            'reading images and videos needs OpenCV: pip install '
            'opencv-python-headless'
        ) from error
    return cv2


def read_frames(
    source: Path, size: tuple[int | None, int | None]
) -> Iterator[np.ndarray]:
    """Read the images of a folder by name, or the frames of a video.

    Args:
        source: The folder or the video.
        size: Height and width to resize to; None keeps the original.

    Yields:
        (H, W, 3) uint8, BGR.

    Raises:
        MissingFileError: There is no such file or folder.
        UserError: It has no frame, or an unreadable one.
    """
    cv2 = open_cv2()
    if not source.exists():
        raise MissingFileError(f'{source}: no such folder or video')
    frames = _images(source) if source.is_dir() else _video(source)
    for frame in frames:
        height, width = (
            own if wanted is None else wanted
            for own, wanted in zip(frame.shape, size, strict=False)
        )
        if frame.shape[:2] != (height, width):
            frame = cv2.resize(
                frame, (width, height), interpolation=cv2.INTER_AREA
            )
        yield frame


def _images(folder: Path) -> Iterator[np.ndarray]:
    paths = [
        path
        for path in sorted(folder.rglob('*'))
        if path.suffix.lower() in IMAGES
        and not any(p.startswith('.') for p in path.relative_to(folder).parts)
    ]
    if not paths:
        raise UserError(
            f'{folder}: no images in this folder, expected files '
            f'{" ".join(IMAGES)}'
        )
    cv2 = open_cv2()
    for path in paths:
        # Decoded from bytes: imread cannot open every name on every system.
        content = np.frombuffer(path.read_bytes(), np.uint8)
        image = (
            cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
        )
        if image is None:
            raise UserError(f'{path}: cannot be decoded, expected an image')
        yield image


def _video(path: Path) -> Iterator[np.ndarray]:
    if path.suffix.lower() not in VIDEOS:
        raise UserError(
            f'{path}: expected a folder of images or a video '
            f'{" ".join(VIDEOS)}'
        )
    capture = open_cv2().VideoCapture(str(path))
    try:
        is_read, frame = capture.read()
        if not is_read:
            raise UserError(f'{path}: no frame of this video can be read')
        while is_read:
            yield frame
            is_read, frame = capture.read()
    finally:
        capture.release()
