# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The target's validation set, whose truth is for display alone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmcv import imread
from mmseg.datasets import BaseSegDataset

from mmseg_cag.errors import UserError
from mmseg_cag.finished_runs.run_folder import RunFolder
from mmseg_cag.finished_runs.samples import Sample, build_dataset, spread

# legend: H W image


class Choices(NamedTuple):
    """What a figure is made of.

    Attributes:
        checkpoint: In the place of the run's last.
        start: Checkpoint that the run began from, where it does not tell.
        images: Images of a domain that are read.
        show: Target images that are shown; evenly spread by default.
    """

    checkpoint: Path | None = None
    start: Path | None = None
    images: int = 100
    show: list[int] | None = None


def target_dataset(run: RunFolder) -> BaseSegDataset:
    """Build the target's validation set."""
    cfg = run.cfg.get('val_dataloader') or {}
    return build_dataset(cfg.get('dataset'), 'val_dataloader.dataset')


def classes_of(dataset: BaseSegDataset) -> tuple[list[str], list]:
    """Names and colours of a data set's classes."""
    return list(dataset.metainfo['classes']), dataset.metainfo['palette']


def shown_images(
    dataset: BaseSegDataset, choices: Choices, count: int
) -> list[int]:
    """Choose the images that are shown.

    Raises:
        UserError: The data set has no such image.
    """
    for index in choices.show or []:
        if not 0 <= index < len(dataset):
            raise UserError(
                f'--show {index}: expected an image from 0 to '
                f'{len(dataset) - 1}'
            )
    return choices.show or spread(dataset, count)


def read_image(sample: Sample) -> np.ndarray:
    """Read the file (H, W, 3) uint8, RGB, of a sample."""
    return imread(sample.data.img_path, channel_order='rgb')
