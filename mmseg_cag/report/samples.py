# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Images of the target's validation set, with their truth for display."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from mmengine.dataset import BaseDataset
from mmseg.registry import DATASETS

from mmseg_cag.errors import UserError

from .run import Run

# legend: H W image, h w feature map


@dataclass
class Sample:
    """A target image and what the networks of a run make of it.

    Attributes:
        path: Of the image.
        image: (H, W, 3) uint8, RGB.
        truth: Class map (H, W) uint8, read for display; None without labels.
        predictions: Class maps (H, W) uint8 by title of the network.
        pseudo: The last labeler's labels (h, w) uint8, if there is one.
    """

    path: str
    image: np.ndarray
    truth: np.ndarray | None
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    pseudo: np.ndarray | None = None


def build_dataset(run: Run) -> BaseDataset:
    """Build the target's validation set, with its labels, for display.

    Raises:
        UserError: The config or the data is not there.
    """
    if run.cfg is None or 'val_dataloader' not in run.cfg:
        raise UserError('val_dataloader: no config names validation images')
    try:
        dataset = DATASETS.build(run.cfg.val_dataloader.dataset)
    # A data set that moved, or of another version, fails in any way at all.
    except Exception as error:
        line = str(error).strip().partition('\n')[0]
        raise UserError(
            f'validation images: cannot be read ({line})'
        ) from error
    if not len(dataset):
        raise UserError('validation images: none found')
    return dataset


def spread_indices(length: int, count: int) -> list[int]:
    """Choose so many indices, evenly spread and without repetition."""
    chosen = np.linspace(0, length - 1, min(count, length), dtype=int)
    return chosen.tolist()


def read_sample(dataset: BaseDataset, index: int) -> Sample:
    """Read an image of the validation set with its truth."""
    sample = dataset[index]
    pixels = sample['inputs'].numpy()[::-1].transpose(1, 2, 0)
    return Sample(
        sample['data_samples'].img_path,
        np.ascontiguousarray(pixels),
        truth_of(sample),
    )


def truth_of(sample: dict) -> np.ndarray | None:
    """Take the class map (H, W) uint8 of a sample, if it has one."""
    labels = getattr(sample['data_samples'], 'gt_sem_seg', None)
    return None if labels is None else labels.data[0].numpy().astype(np.uint8)
