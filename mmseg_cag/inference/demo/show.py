# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Run a network on an image, a folder of images or a video."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmengine.logging import print_log
from mmseg.apis import inference_model
from mmseg.models.segmentors import EncoderDecoder

from mmseg_cag.data_check.contents import FEW, check_depth, decode
from mmseg_cag.data_check.folders import IMAGE_ENDINGS
from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.fileio.images import is_hidden, read_image
from mmseg_cag.fileio.json_file import read_json, write_json
from mmseg_cag.progress import track
from mmseg_cag.visualization import colorize

METADATA = 'demo.json'
VIDEO_ENDINGS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg')
# For a video without a frame rate.
FRAMES_PER_SECOND = 25.0

# Maps an image (H, W, 3) uint8, BGR, to its view.
Show = Callable[[np.ndarray], np.ndarray]

# legend: H W image


@dataclass(eq=False)
class View:
    """View of an image with the predicted classes overlaid.

    Attributes:
        model: As returned by `load_network`.
        opacity: Opacity of the class colours, 0 to 1.
        side_by_side: Whether to add the image itself on the left.
    """

    model: EncoderDecoder
    opacity: float = 0.5
    side_by_side: bool = False

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Render the view of an image.

        Args:
            image: Image (H, W, 3) uint8, BGR.

        Returns:
            Image (H, W, 3) or (H, 2 W, 3) uint8, BGR.
        """
        palette = self.model.dataset_meta['palette']
        labels = predict(self.model, image)
        shown = overlay(image, labels, palette, self.opacity)
        return np.hstack([image, shown]) if self.side_by_side else shown


def predict(model: EncoderDecoder, image: np.ndarray) -> np.ndarray:
    """Predict the class map (H, W) of an image (H, W, 3) uint8, BGR."""
    result = inference_model(model, image)
    return result.pred_sem_seg.data.squeeze(0).cpu().numpy()


def overlay(
    image: np.ndarray, labels: np.ndarray, palette: list, opacity: float
) -> np.ndarray:
    """Overlay a class map (H, W) on an image (H, W, 3) uint8, BGR."""
    colours = np.ascontiguousarray(colorize(labels, palette)[..., ::-1])
    return cv2.addWeighted(colours, opacity, image, 1 - opacity, 0)


def show_input(
    source: Path, folder: Path, checkpoint: Path, view: Show
) -> list[Path]:
    """Write views of an image, a folder of images or a video.

    Args:
        source: The input.
        folder: Output folder.
        checkpoint: Checkpoint to record in the folder's metadata.
        view: Makes a view of an image, both (H, W, 3) uint8, BGR.

    Returns:
        The written files.

    Raises:
        UserError: The input or the folder is invalid.
    """
    way = find_way(source)
    open_folder(folder, checkpoint, source)
    return way(source, folder, view)


def find_way(source: Path) -> Callable[[Path, Path, Show], list[Path]]:
    """Choose the function for an input by its type.

    Raises:
        MissingFileError: It does not exist.
        UserError: It is no image, folder of images or readable video.
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
        if path.suffix.lower() in IMAGE_ENDINGS
        and path.is_file()
        and not is_hidden(path.relative_to(source))
    ]
    if not paths:
        raise UserError(
            f'{source}: no images in this folder, expected files '
            f'{" ".join(IMAGE_ENDINGS)}'
        )
    return paths


def show_images(source: Path, folder: Path, view: Show) -> list[Path]:
    """Write a view of each image as a PNG, in the same subfolders.

    Args:
        source: An image, or a folder of images.
        folder: Output folder.
        view: Makes a view of an image, both BGR.

    Returns:
        The written files.

    Raises:
        UserError: A file is no image.
    """
    root = source if source.is_dir() else source.parent
    written, paths = [], find_images(source)
    samples = [{'img_path': str(path)} for path in paths[:FEW]]
    contents = [decode(sample, None, None) for sample in samples]
    for finding in check_depth(str(source), contents):
        raise finding.as_error()
    for path in track(paths, 'images'):
        name = path.relative_to(root)
        # a.jpg becomes a.jpg.png: a.png may exist, too.
        ending = '' if name.suffix == '.png' else '.png'
        out = folder / name.with_name(f'{name.name}{ending}')
        mmcv.imwrite(view(read_image(str(path))), str(out))
        written.append(out)
    return written


def show_video(source: Path, folder: Path, view: Show) -> list[Path]:
    """Write a view of each frame as an MP4 with the same frame rate.

    Args:
        source: A video that OpenCV can read.
        folder: Output folder.
        view: Makes a view of an image, both BGR.

    Returns:
        The written file; it is written atomically.

    Raises:
        UserError: The video cannot be read or written.
    """
    video = open_video(source)
    ending = '' if source.suffix == '.mp4' else '.mp4'
    out = folder / f'{source.name}{ending}'
    expected = max(video.frame_cnt, 0)
    views = map(view, track(video, 'frames', expected or None))
    with atomic_path(out, '.mp4') as draft:
        count = write_video(draft, views, video.fps or FRAMES_PER_SECOND)
    if count < expected:
        print_log(
            f'{source}: {count} of {expected} frames could be read',
            'current',
            logging.WARNING,
        )
    return [out]


def open_video(source: Path) -> mmcv.VideoReader:
    """Open a video and check that it has a readable frame."""
    video = mmcv.VideoReader(str(source))
    if video.read() is None:
        raise UserError(f'{source}: not readable as a video')
    return video


def write_video(path: Path, frames: map, rate: float) -> int:
    """Write frames (H, W, 3) uint8, BGR, as an MP4; returns their number."""
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


def open_folder(folder: Path, checkpoint: Path, source: Path) -> None:
    """Create the output folder, or reuse it.

    Its metadata records checkpoint and input, so that results of different
    networks or inputs never mix.

    Args:
        folder: Output folder.
        checkpoint: The network.
        source: The input.

    Raises:
        UserError: It exists with other content.
    """
    origin = {
        'checkpoint': str(checkpoint.resolve()),
        'input': str(source.resolve()),
    }
    if folder.exists() and not folder.is_dir():
        raise UserError(f'{folder}: exists and is no folder')
    if folder.resolve().is_relative_to(source.resolve()):
        raise UserError(f'{folder}: is in the input, name another --out')
    if folder.is_dir() and any(folder.iterdir()):
        held = read_origin(folder)
        if held != origin:
            other = next(k for k in origin if held.get(k) != origin[k])
            raise UserError(
                f'{folder}: holds results of another {other}, '
                f'{held.get(other)}; name another --out'
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / METADATA, origin)


def read_origin(folder: Path) -> dict:
    """Read the origin of the results in a folder.

    Raises:
        UserError: The folder has no metadata.
    """
    try:
        return read_json(folder / METADATA)
    except UserError as error:
        raise UserError(
            f'{folder}: exists with other content, without {METADATA} of '
            'this command; name another --out'
        ) from error
