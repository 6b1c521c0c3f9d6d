# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What the publishers' downloads look like."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmseg.datasets import CityscapesDataset

from ..gta import GTADataset
from ..synthia import SYNTHIADataset


@dataclass(frozen=True)
class Publisher:
    """A published data set.

    Args:
        name: What it is called.
        dataset: The class that reads it.
        folders: Folders of the images and of the labels under its root.
        file_name: Pattern of the names of its images.
        counts: Images of each folder, by the end of its path.
        absent: Classes of Cityscapes that it does not have.
    """

    name: str
    dataset: type
    folders: tuple[str, str]
    file_name: re.Pattern
    counts: dict[str, int]
    absent: tuple[str, ...] = ()


PUBLISHERS = (
    Publisher(
        'GTA5',
        GTADataset,
        ('images', 'labels'),
        re.compile(r'\d{5}\.png'),
        {'images': 24966},
    ),
    Publisher(
        'SYNTHIA-RAND-CITYSCAPES',
        SYNTHIADataset,
        ('RGB', 'GT'),
        re.compile(r'\d{7}\.png'),
        {'RGB': 9400},
        absent=('terrain', 'truck', 'train'),
    ),
    Publisher(
        'Cityscapes',
        CityscapesDataset,
        ('leftImg8bit', 'gtFine'),
        re.compile(r'.+_\d{6}_\d{6}_leftImg8bit\.png'),
        {'leftImg8bit/train': 2975, 'leftImg8bit/val': 500},
    ),
)


def publisher_of(dataset: object) -> Publisher | None:
    """Whose data a data set's class reads."""
    return next(
        (p for p in PUBLISHERS if isinstance(dataset, p.dataset)), None
    )
