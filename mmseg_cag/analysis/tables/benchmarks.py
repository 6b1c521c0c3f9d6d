# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The two benchmarks whose tables have published rows."""

from __future__ import annotations

from dataclasses import dataclass

from mmseg.datasets import CityscapesDataset

from .published import GTA5, SYNTHIA, Published

CITYSCAPES = tuple(CityscapesDataset.METAINFO['classes'])
SIXTEEN = tuple(
    name for name in CITYSCAPES if name not in ('terrain', 'truck', 'train')
)
THIRTEEN = tuple(
    name for name in SIXTEEN if name not in ('wall', 'fence', 'pole')
)


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A pair of data sets, and what is reported of it.

    Attributes:
        title: Its name.
        domains: Types of the source's and of the target's data set.
        classes: Whose IoU is reported.
        means: Which means are.
        plain: What ``mIoU`` is called of a network that has these classes
            alone.
        published: Rows of others.
    """

    title: str
    domains: tuple[str, str]
    classes: tuple[str, ...]
    means: tuple[str, ...]
    plain: dict[tuple[str, ...], str]
    published: tuple[Published, ...]


BENCHMARKS = (
    Benchmark(
        'GTA5 → Cityscapes',
        ('GTADataset', 'CityscapesDataset'),
        CITYSCAPES,
        ('mIoU',),
        {CITYSCAPES: 'mIoU'},
        GTA5,
    ),
    Benchmark(
        'SYNTHIA → Cityscapes',
        ('SYNTHIADataset', 'CityscapesDataset'),
        SIXTEEN,
        ('mIoU16', 'mIoU13'),
        {CITYSCAPES: 'mIoU19', SIXTEEN: 'mIoU16', THIRTEEN: 'mIoU13'},
        SYNTHIA,
    ),
)
