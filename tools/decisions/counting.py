# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Count pixels of held-out images, image by image, for scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

from mmseg_cag.analysis.runs.network import predict_map
from mmseg_cag.analysis.runs.samples import read_samples
from mmseg_cag.errors import UserError
from mmseg_cag.evaluation.bootstrap import class_counts
from mmseg_cag.evaluation.confusion import confusion_matrix
from mmseg_cag.progress import track

from .frozen import open_network
from .held_out import HeldOut

# legend: N images, K classes


def count(
    cfg: Config, checkpoint: Path, held: HeldOut, classes: list[str]
) -> np.ndarray:
    """Count the pixels (N, 3 K) for IoU and F1, at label resolution.

    Raises:
        UserError: The checkpoint or an image is damaged or unsuitable.
    """
    network = open_network(cfg, checkpoint, classes)
    samples = read_samples(held.dataset, held.indices)
    confusions = []
    for sample in track(samples, checkpoint.name, len(held.indices)):
        predicted = torch.from_numpy(predict_map(network.model, sample))
        if predicted.shape != sample.truth.shape:
            raise UserError(
                f'{sample.data.seg_map_path}: a label of '
                f'{tuple(sample.truth.shape)} pixels, expected '
                f'{tuple(predicted.shape)}, the size of its image'
            )
        confusions.append(
            confusion_matrix(sample.truth, predicted, len(classes)).numpy()
        )
    return class_counts(np.stack(confusions))
