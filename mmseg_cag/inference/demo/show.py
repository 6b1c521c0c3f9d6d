# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from mmseg.apis import inference_model
from mmseg.models.segmentors import EncoderDecoder

from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio import json_file as note
from mmseg_cag.visualization import paint

from .images import IMAGE_ENDINGS, find_images, show_images
from .video import VIDEO_ENDINGS, open_video, show_video

NOTE = 'demo.json'


def open_folder(folder: Path, checkpoint: Path, source: Path) -> None:
    """Make the folder that results go to, or take it up again.

    A note in it says what the results are of, so that those of one network or
    input never mix with others.

    Args:
        folder: Where results go.
        checkpoint: The network.
        source: The input.

    Raises:
        UserError: It exists and is of something else.
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
        held = read_note(folder)
        if held != origin:
            other = next(k for k in origin if held.get(k) != origin[k])
            raise UserError(
                f'{folder}: holds results of another {other}, '
                f'{held.get(other)}; name another --out'
            )
    folder.mkdir(parents=True, exist_ok=True)
    note.write_note(folder / NOTE, origin)


def read_note(folder: Path) -> dict:
    """Read what the results in a folder are of.

    Raises:
        UserError: The folder has no such note.
    """
    try:
        return note.read_note(folder / NOTE)
    except UserError as error:
        raise UserError(
            f'{folder}: exists from something else, no {NOTE} of this '
            'command is in it; name another --out'
        ) from error


# legend: H W image


class View:
    """What is shown of an image: the predicted classes laid over it.

    Args:
        model: As `load_network` builds it.
        opacity: Share of the classes' colours, 0 to 1.
        side_by_side: Whether the image itself is shown to the left.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        opacity: float = 0.5,
        side_by_side: bool = False,
    ) -> None:
        self.model = model
        self.opacity = opacity
        self.side_by_side = side_by_side

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Show an image.

        Args:
            image: Image (H, W, 3) uint8, BGR.

        Returns:
            Image (H, W, 3) or (H, 2 W, 3) uint8, BGR.
        """
        shown = overlay(
            image,
            predict(self.model, image),
            self.model.dataset_meta['palette'],
            self.opacity,
        )
        return np.hstack([image, shown]) if self.side_by_side else shown


def predict(model: EncoderDecoder, image: np.ndarray) -> np.ndarray:
    """Predict the class map (H, W) of an image (H, W, 3) uint8, BGR."""
    result = inference_model(model, image)
    return result.pred_sem_seg.data.squeeze(0).cpu().numpy()


def overlay(
    image: np.ndarray, labels: np.ndarray, palette: list, opacity: float
) -> np.ndarray:
    """Lay a class map (H, W) over an image (H, W, 3) uint8, BGR."""
    colours = np.ascontiguousarray(paint(labels, palette)[..., ::-1])
    return cv2.addWeighted(colours, opacity, image, 1 - opacity, 0)


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
