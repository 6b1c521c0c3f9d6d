# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The forms in which label files of the known data sets are published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .label_ids import (
    CITYSCAPES_IDS,
    CITYSCAPES_VOID,
    SYNTHIA_IDS,
    SYNTHIA_VOID,
    TRAIN_IDS,
    TRAIN_VOID,
)
from .read_ids import read_index, read_red16


@dataclass(frozen=True)
class PublishedLabels:
    """One form of label files.

    Attributes:
        train_ids: Raw id to train id.
        void_ids: Raw ids that are known and not trained on.
        read: (path, backend_args) to the raw ids of a file.
        bit_depth: Bits of an id on disk.
    """

    train_ids: dict[int, int]
    void_ids: frozenset[int]
    read: Callable[[str, dict | None], np.ndarray]
    bit_depth: int = 8


PUBLISHED_LABELS = {
    'cityscapes': PublishedLabels(CITYSCAPES_IDS, CITYSCAPES_VOID, read_index),
    'gta': PublishedLabels(CITYSCAPES_IDS, CITYSCAPES_VOID, read_index),
    'synthia': PublishedLabels(SYNTHIA_IDS, SYNTHIA_VOID, read_red16, 16),
    'trainids': PublishedLabels(TRAIN_IDS, TRAIN_VOID, read_index),
}
