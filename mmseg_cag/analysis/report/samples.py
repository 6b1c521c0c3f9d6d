# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Images of the target's validation set, with their truth for display."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from mmseg.datasets import BaseSegDataset

from mmseg_cag.analysis.runs.samples import Sample, build_dataset
from mmseg_cag.errors import UserError

from .run import RecordedRun

# legend: H W image, h w feature map


@dataclass
class Shown:
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

    @classmethod
    def of(cls, sample: Sample) -> Shown:
        """Take a sample's image, which is BGR, and its truth."""
        pixels = sample.image.numpy()[::-1].transpose(1, 2, 0)
        truth = sample.truth.numpy() if sample.has_truth else None
        return cls(
            sample.data.img_path,
            np.ascontiguousarray(pixels),
            None if truth is None else truth.astype(np.uint8),
        )


def open_validation(run: RecordedRun) -> BaseSegDataset:
    """Build the target's validation set, with its labels, for display.

    Raises:
        UserError: The config or the data is not there.
    """
    loader = (run.cfg or {}).get('val_dataloader')
    if not loader:
        raise UserError('val_dataloader: no config names validation images')
    try:
        return build_dataset(loader.dataset, 'val_dataloader.dataset')
    except UserError:
        raise
    # A data set of another version fails in any way at all.
    except Exception as error:
        line = str(error).strip().partition('\n')[0]
        raise UserError(
            f'validation images: cannot be read ({line})'
        ) from error
