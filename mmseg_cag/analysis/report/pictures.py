# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Encode the gallery's images for embedding in the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .measure import Measured, Shown
from .unknown import CROPS, Unknown

WIDTH = 768  # width of an embedded image, in pixels
HEIGHT = 72  # height of crops
CLEAR = 255  # transparent palette index
RIGHT, WRONG = 0, 1
ERROR_COLOURS = [[0, 0, 0], [255, 0, 80]]

# legend: H W image, h w feature map


@dataclass(frozen=True)
class Panel:
    """An image's views in the gallery, as data URLs.

    Attributes:
        name: Name of the image file.
        size: Displayed width and height, pixels.
        image: The input.
        truth: The ground truth; None without labels.
        before: Prediction of the network the run started from, if any.
        after: Prediction of the last network.
        pseudo: The pseudo labels, transparent where unlabelled.
        before_errors: Wrong pixels of `before`, transparent elsewhere.
        after_errors: Wrong pixels of `after`.
    """

    name: str
    size: tuple[int, int]
    image: str
    truth: str | None
    before: str | None
    after: str | None
    pseudo: str | None
    before_errors: str | None
    after_errors: str | None


def make_panels(measured: Measured, palette: list) -> list[Panel]:
    """Render the gallery of a run."""
    names = [n.title if n else '' for n in (measured.start, measured.last)]
    return [
        _panel(sample, names, palette)
        for _, sample in sorted(measured.samples.items())
    ]


@dataclass(frozen=True)
class Crop:
    """A crop as a data URL, with its displayed width and height."""

    address: str
    size: tuple[int, int]


@dataclass(frozen=True)
class CropGroup:
    """A cluster of similar regions.

    Attributes:
        number: Number, from 1.
        share: Share of the unknown pixels.
        pieces: Number of regions, of which some are shown.
        crops: The shown crops.
    """

    number: int
    share: float
    pieces: int
    crops: list[Crop]


@dataclass(frozen=True)
class UnknownView:
    """Unknown pixels on the page: their share and clusters."""

    share: float
    clusters: list[CropGroup]


def show_unknown(unknown: Unknown | None) -> UnknownView | None:
    """Render the unknown regions; None if not available."""
    if unknown is None:
        return None
    groups = [
        CropGroup(
            number,
            sum(piece.pixels for piece in group) / unknown.pixels,
            len(group),
            [_crop(piece.crop) for piece in group[:CROPS]],
        )
        for number, group in enumerate(unknown.clusters(), 1)
    ]
    return UnknownView(unknown.pixels / max(unknown.seen, 1), groups)


def _crop(image: np.ndarray) -> Crop:
    height, width = image.shape[:2]
    size = (max(1, round(width * HEIGHT / height)), HEIGHT)
    return Crop(photo(image, size), size)


def _panel(sample: Shown, names: list[str], palette: list) -> Panel:
    height, width = sample.image.shape[:2]
    size = (min(width, WIDTH), round(height * min(1, WIDTH / width)))
    maps = [sample.predictions.get(name) for name in names]
    errors = [_errors(m, sample.truth) for m in maps]
    painted = [
        paint(labels, palette, size)
        for labels in (sample.truth, *maps, sample.pseudo)
    ]
    return Panel(
        Path(sample.path).name,
        size,
        photo(sample.image, size),
        *painted,
        *(paint(e, ERROR_COLOURS, size) for e in errors),
    )


def _errors(
    prediction: np.ndarray | None, truth: np.ndarray | None
) -> np.ndarray | None:
    if prediction is None or truth is None:
        return None
    wrong = (prediction != truth) & (truth != CLEAR)
    return np.where(wrong, WRONG, CLEAR).astype(np.uint8)


def photo(image: np.ndarray, size: tuple[int, int]) -> str:
    """Embed an image (H, W, 3) uint8, RGB."""
    picture = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    return _address(picture, 'webp', quality=82)


def paint(
    labels: np.ndarray | None, palette: list, size: tuple[int, int]
) -> str | None:
    """Embed a class map (H, W) or (h, w) uint8, transparent where ignored."""
    if labels is None:
        return None
    picture = Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
    picture.putpalette(np.array(palette, np.uint8).tobytes())
    return _address(picture, 'png', optimize=True, transparency=CLEAR)


def _address(picture: Image.Image, kind: str, **options: object) -> str:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    content = base64.b64encode(stream.getvalue()).decode()
    return f'data:image/{kind};base64,{content}'
