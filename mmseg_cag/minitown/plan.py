# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Plan which images to draw, in which style and into which files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from . import writer
from .styles import CAMERA, GAME, RENDERED, TownStyle


@dataclass(frozen=True)
class Plan:
    """Plan of a minitown; equal plans give equal files."""

    size: tuple[int, int]
    source: int
    target: int
    val: int
    synthia: int
    seed: int

    def pictures(self) -> Iterator[Picture]:
        """Return all images of the three towns."""
        counts = (self.source, self.target, self.val, self.synthia)
        for stream, count in enumerate(counts):
            for index in range(count):
                yield Picture(stream, index)


@dataclass(frozen=True)
class Picture:
    """One image: the index of its stream and its index within."""

    stream: int
    index: int


@dataclass(frozen=True)
class Stream:
    """A town or a split of it, and its file layout."""

    town: str
    style: TownStyle
    paths: Callable[[Path, int], tuple[Path, Path]]
    save_label: Callable[[Path, np.ndarray], None]


def _target_paths(split: str, root: Path, index: int) -> tuple[Path, Path]:
    return writer.cityscapes_paths(root, split, index)


STREAMS = (
    Stream('source', GAME, writer.gta_paths, writer.save_gta_label),
    Stream(
        'target',
        CAMERA,
        partial(_target_paths, 'train'),
        writer.save_cityscapes_label,
    ),
    Stream(
        'val',
        CAMERA,
        partial(_target_paths, 'val'),
        writer.save_cityscapes_label,
    ),
    Stream(
        'synthia', RENDERED, writer.synthia_paths, writer.save_synthia_label
    ),
)
