# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Published datasets and their label formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from mmseg.datasets import BaseSegDataset, CityscapesDataset
from mmseg.registry import DATASETS

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.images import read_index, read_red16


class PNGDataset(BaseSegDataset):
    """Images and label files in PNG, in the 19 classes of Cityscapes."""

    METAINFO = CityscapesDataset.METAINFO

    def __init__(
        self,
        img_suffix: str = '.png',
        seg_map_suffix: str = '.png',
        **kwargs: Any,
    ) -> None:
        super().__init__(
            img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs
        )


@DATASETS.register_module()
class GTADataset(PNGDataset):
    """GTA5 (Playing for Data, ECCV 2016) in the 19 classes of Cityscapes.

    Reads the published layout, ``images/00001.png`` next to
    ``labels/00001.png``; the label files hold GTA ids, so the pipeline loads
    them with ``LoadLabelIds(ids='gta')``.
    """


@DATASETS.register_module()
class ACDCDataset(CityscapesDataset):
    """ACDC (ICCV 2021): fog, night, rain and snow, in Cityscapes' classes.

    Reads the published layout, ``rgb_anon/fog/train/GP010476/*.png`` next to
    ``gt/fog/train/GP010476/*.png``; the label files hold Cityscapes' ids, so
    the pipeline loads them with ``LoadLabelIds(ids='cityscapes')``.

    Args:
        split: Split to read of each condition: ``train``, ``val`` or ``test``.
            None reads all.
        **kwargs: Arguments of `CityscapesDataset`.

    Raises:
        UserError: ``split`` is unknown.
    """

    def __init__(
        self,
        split: str | None = None,
        img_suffix: str = '_rgb_anon.png',
        seg_map_suffix: str = '_gt_labelIds.png',
        **kwargs: Any,
    ) -> None:
        if split not in (None, 'train', 'val', 'test'):
            raise UserError(
                f"ACDCDataset: split={split!r}, expected 'train', 'val' or "
                "'test', or None for all"
            )
        self.split = split
        super().__init__(
            img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """List the samples of the split."""
        samples = super().load_data_list()
        if self.split is None:
            return samples
        # Relative to the folder: a parent may have such a name, too.
        above = len(self.data_prefix['img_path'])
        return [
            sample
            for sample in samples
            if self.split in sample['img_path'][above:].split('/')
        ]


@DATASETS.register_module()
class SYNTHIADataset(PNGDataset):
    """SYNTHIA-RAND-CITYSCAPES (CVPR 2016) in the 19 classes of Cityscapes.

    Reads the published layout, ``RGB/0000000.png`` next to
    ``GT/LABELS/0000000.png``; the label files are 16-bit with SYNTHIA's ids in
    the red channel, so the pipeline loads them with
    ``LoadLabelIds(ids='synthia')``. Terrain, truck and train do not occur.
    """


# Shared by Cityscapes `labelIds` and the GTA5 label images.
CITYSCAPES_IDS: dict[int, int] = {
    7: 0,  # road
    8: 1,  # sidewalk
    11: 2,  # building
    12: 3,  # wall
    13: 4,  # fence
    17: 5,  # pole
    19: 6,  # traffic light
    20: 7,  # traffic sign
    21: 8,  # vegetation
    22: 9,  # terrain
    23: 10,  # sky
    24: 11,  # person
    25: 12,  # rider
    26: 13,  # car
    27: 14,  # truck
    28: 15,  # bus
    31: 16,  # train
    32: 17,  # motorcycle
    33: 18,  # bicycle
}

CITYSCAPES_VOID = frozenset(
    (
        *range(7),  # unlabelled, ego vehicle, border, dynamic, ground
        *(9, 10),  # parking, rail track
        *(14, 15, 16),  # guard rail, bridge, tunnel
        18,  # pole group
        *(29, 30),  # caravan, trailer
        34,  # licence plate in GTA5; Cityscapes does not draw its -1
    )
)

# SYNTHIA-RAND-CITYSCAPES, the first channel of `GT/LABELS`.
SYNTHIA_IDS: dict[int, int] = {
    3: 0,  # road
    4: 1,  # sidewalk
    2: 2,  # building
    21: 3,  # wall
    5: 4,  # fence
    7: 5,  # pole
    15: 6,  # traffic light
    9: 7,  # traffic sign
    6: 8,  # vegetation
    16: 9,  # terrain
    1: 10,  # sky
    10: 11,  # person
    17: 12,  # rider
    8: 13,  # car
    18: 14,  # truck
    19: 15,  # bus
    20: 16,  # train
    12: 17,  # motorcycle
    11: 18,  # bicycle
}

# Void, parking slot, road work, lane marking.
SYNTHIA_VOID = frozenset((0, 13, 14, 22))

# Files that hold train ids already, such as Cityscapes `labelTrainIds`.
TRAIN_IDS: dict[int, int] = {train: train for train in CITYSCAPES_IDS.values()}
TRAIN_VOID = frozenset((255,))


# legend: H W image

# New id of unselected classes in mmseg's label maps.
MMSEG_IGNORED = 255


class IdMap:
    """Mapping from raw label ids to train ids that rejects unknown ids.

    Args:
        train_ids: Raw id to train id.
        void_ids: Known raw ids that map to the ignore index.
        ignore_index: Train id of everything without training.
    """

    def __init__(
        self,
        train_ids: dict[int, int],
        void_ids: Iterable[int],
        ignore_index: int = 255,
    ) -> None:
        self.ignore_index = ignore_index
        self.known = sorted({*train_ids, *void_ids})
        # Unknown ids map to a value that no label has, so the check only has
        # to search for it.
        used = {ignore_index, *train_ids.values()}
        self._unknown = max(set(range(2**8)) - used)
        self._table = np.full(2**8, self._unknown, np.uint8)
        self._table[list(void_ids)] = ignore_index
        self._table[list(train_ids)] = list(train_ids.values())

    def __call__(
        self,
        ids: np.ndarray,
        path: str,
        label_map: dict[int, int] | None = None,
    ) -> np.ndarray:
        """Map the ids of one file.

        Args:
            ids: Raw ids, uint8 or uint16 (H, W).
            path: The file, for the error.
            label_map: mmseg's class selection, train id to new train id.

        Returns:
            Train ids, uint8 (H, W).

        Raises:
            UserError: An id is in neither table.
        """
        table = self._table
        if label_map is not None:
            table = self._choice(label_map)[table]
        if ids.max() >= len(table):
            self._refuse(ids, path)
        labels = cv2.LUT(ids.astype(np.uint8, copy=False), table)
        if (labels == self._unknown).any():
            self._refuse(ids, path)
        return labels

    def _choice(self, label_map: dict[int, int]) -> np.ndarray:
        """Look-up table (256,) from train ids to those of a selection."""
        chosen = np.full(2**8, self.ignore_index, np.uint8)
        chosen[self._unknown] = self._unknown
        for old, new in label_map.items():
            if new != MMSEG_IGNORED:
                chosen[old] = new
        return chosen

    def _refuse(self, ids: np.ndarray, path: str) -> None:
        unknown = np.setdiff1d(ids, self.known).tolist()
        shown = ', '.join(map(str, unknown[:8]))
        more = f' and {len(unknown) - 8} more' if len(unknown) > 8 else ''
        raise UserError(
            f'{path}: unknown label id(s) {shown}{more}, expected only '
            f'{ranges(self.known)}'
        )


def ranges(ids: list[int]) -> str:
    """Format sorted ids compactly, such as ``0-18, 255``."""
    starts = [i for i in ids if i - 1 not in ids]
    ends = [i for i in ids if i + 1 not in ids]
    return ', '.join(
        str(a) if a == b else f'{a}-{b}'
        for a, b in zip(starts, ends, strict=True)
    )


@dataclass(frozen=True)
class PublishedLabels:
    """A published label format.

    Attributes:
        train_ids: Raw id to train id.
        void_ids: Known raw ids without training.
        read: Function of (path, backend_args) that returns raw ids.
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
