# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmengine.logging import print_log

from mmseg_cag.errors import UserError
from mmseg_cag.progress import track

VIDEO_ENDINGS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg')
# Of a video that does not say its own.
FRAMES_PER_SECOND = 25.0


def show_video(
    source: Path, folder: Path, view: Callable[[np.ndarray], np.ndarray]
) -> list[Path]:
    """Write a view of each frame as an MP4 of the same frame rate.

    Args:
        source: A video that OpenCV reads.
        folder: Where the video goes.
        view: Makes a view of an image, both BGR.

    Returns:
        The one file that was written; it appears complete or not at all.

    Raises:
        UserError: The video cannot be read, or none can be written.
    """
    video = open_video(source)
    ending = '' if source.suffix == '.mp4' else '.mp4'
    out = folder / f'{source.name}{ending}'
    draft = out.with_suffix('.part.mp4')
    expected = max(video.frame_cnt, 0)
    views = map(view, track(video, 'frames', expected or None))
    count = write_video(draft, views, video.fps or FRAMES_PER_SECOND)
    if count < expected:
        print_log(
            f'{source}: {count} of {expected} frames could be read',
            'current',
            logging.WARNING,
        )
    os.replace(draft, out)
    return [out]


def open_video(source: Path) -> mmcv.VideoReader:
    """Open a video, of which at least one frame can be read."""
    video = mmcv.VideoReader(str(source))
    if video.read() is None:
        raise UserError(f'{source}: not readable as a video')
    return video


def write_video(path: Path, frames: map, rate: float) -> int:
    """Write frames (H, W, 3) uint8, BGR, as an MP4; returns how many."""
    writer = cv2.VideoWriter()
    codec = cv2.VideoWriter.fourcc(*'mp4v')
    count = 0
    try:
        for count, frame in enumerate(frames, 1):
            size = frame.shape[1::-1]
            if count == 1 and not writer.open(str(path), codec, rate, size):
                raise UserError(f'{path}: OpenCV cannot write this video')
            writer.write(frame)
    finally:
        writer.release()
    return count
