# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The figures, from a run's folder to files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmcv import imread
from mmseg.datasets import BaseSegDataset

from mmseg_cag.errors import UserError
from mmseg_cag.finished_runs.network import load_network
from mmseg_cag.finished_runs.run_folder import RunFolder
from mmseg_cag.finished_runs.samples import (
    Sample,
    build_dataset,
    read_samples,
    spread,
)

from .labeler import find_labeler
from .pseudo_label_figure import save_pseudo_label_figure
from .pseudo_labels import join, label_image


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


def make_pseudo_label_figure(
    run: RunFolder, out: Path, choices: Choices
) -> list[Path]:
    """Draw the labels that a checkpoint's stage was trained on."""
    last = list(run.checkpoints.values())[-1]
    model = load_network(run.cfg, choices.checkpoint or last)
    labeler = find_labeler(model, run.cfg, choices.images, frozen=True)
    dataset = target_dataset(run)
    classes, palette = classes_of(dataset)
    indices = spread(dataset, choices.images)
    samples = read_samples(dataset, indices)
    pixels = join(
        (label_image(labeler, model, sample) for sample in samples),
        len(classes),
    )
    shown = [
        (read_image(s), s.truth.numpy(), label_image(labeler, model, s))
        for s in read_samples(dataset, shown_images(dataset, choices, 3))
    ]
    return save_pseudo_label_figure(out, shown, pixels, classes, palette)


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


FIGURES = {'pseudo_labels': make_pseudo_label_figure}
