# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The two benchmarks and their published results.

None of them is measured here. In percent; IoU in the order of Cityscapes'
train ids. Where per-class IoU was not published, only the mean is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mmseg.datasets import CityscapesDataset

SOURCES = {
    'poster': 'poster of CAG-UDA, NeurIPS 2019',
    'README': "README of AdaptSegNet's release",
    'ProDA': "README of ProDA's release",
    'DAFormer': "README of DAFormer's release",
    'HRDA': "README of HRDA's release",
    'MIC': "README of MIC's release",
    'VFM-UDA': "README of VFM-UDA's release",
    'VFM-UDA++': "README of VFM-UDA++'s release",
}


class Published(NamedTuple):
    """A published row.

    Attributes:
        method: Its name.
        source: Its source, a key of `SOURCES`.
        means: Means by name.
        iou: IoU of all classes, or empty.
        note: Remark on the figures.
    """

    method: str
    source: str
    means: dict[str, float]
    iou: tuple[float, ...] = ()
    note: str = ''


# fmt: off
GTA5 = (
    Published(
        'Source only', 'poster', {'mIoU': 36.6},
        (75.8, 16.8, 77.2, 12.5, 21.0, 25.5, 30.1, 20.1, 81.3, 24.6,
         70.3, 53.8, 26.4, 49.9, 17.2, 25.9, 6.5, 25.3, 36.0),
    ),
    Published(
        'AdaptSegNet', 'poster', {'mIoU': 41.4},
        (86.5, 25.9, 79.8, 22.1, 20.0, 23.6, 33.1, 21.8, 81.8, 25.9,
         75.9, 57.3, 26.2, 76.3, 29.8, 32.1, 7.2, 29.5, 32.5),
    ),
    Published('AdaptSegNet, multi level', 'README', {'mIoU': 42.4}),
    Published('AdaptSegNet, least squares', 'README', {'mIoU': 44.1}),
    Published(
        'CLAN', 'poster', {'mIoU': 43.2},
        (87.0, 27.1, 79.6, 27.3, 23.3, 28.3, 35.5, 24.2, 83.6, 27.4,
         74.2, 58.6, 28.0, 76.2, 33.1, 36.7, 6.7, 31.9, 31.4),
    ),
    Published(
        'BDL', 'poster', {'mIoU': 48.5},
        (91.0, 44.7, 84.2, 34.6, 27.6, 30.2, 36.0, 36.0, 85.0, 43.6,
         83.0, 58.6, 31.6, 83.3, 35.3, 49.7, 3.3, 28.8, 35.6),
        'printed as BLF',
    ),
    Published(
        'CAG', 'poster', {'mIoU': 50.2},
        (90.4, 51.6, 83.8, 34.2, 27.8, 38.4, 25.3, 48.4, 85.4, 38.2,
         78.1, 58.6, 34.6, 84.7, 21.9, 42.7, 41.1, 29.3, 37.2),
        'the mean is the printed one, the classes average 50.1',
    ),
    Published(
        'ProDA, stage 1', 'ProDA', {'mIoU': 53.7},
        note='57.5 after two distillations',
    ),
    Published('DAFormer', 'DAFormer', {'mIoU': 68.3}, note='on MiT-B5'),
    Published('HRDA', 'HRDA', {'mIoU': 73.8}, note='on MiT-B5'),
    Published('MIC on HRDA', 'MIC', {'mIoU': 75.9}, note='on MiT-B5'),
    Published('VFM-UDA on DINOv2-B', 'VFM-UDA', {'mIoU': 77.1}),
    Published('VFM-UDA on DINOv2-L', 'VFM-UDA', {'mIoU': 78.4}),
    Published('VFM-UDA++ on DINOv2-L', 'VFM-UDA++', {'mIoU': 79.8}),
)
# fmt: on
SYNTHIA = (
    Published('AdaptSegNet', 'poster', {'mIoU13': 45.9}),
    Published('CLAN', 'poster', {'mIoU13': 47.8}),
    Published('BDL', 'poster', {'mIoU13': 51.4}, note='printed as BLF'),
    Published(
        'CAG',
        'poster',
        {'mIoU13': 52.6},
        note='by its authors, of a network with 13 outputs, not 13 rows of 19',
    ),
    Published(
        'ProDA, stage 1',
        'ProDA',
        {'mIoU16': 51.9},
        note='55.5 after two distillations',
    ),
    Published('DAFormer', 'DAFormer', {'mIoU16': 60.9}, note='on MiT-B5'),
    Published('HRDA', 'HRDA', {'mIoU16': 65.8}, note='on MiT-B5'),
    Published('MIC on HRDA', 'MIC', {'mIoU16': 67.3}, note='on MiT-B5'),
)
CITYSCAPES = tuple(CityscapesDataset.METAINFO['classes'])
SIXTEEN = tuple(
    name for name in CITYSCAPES if name not in ('terrain', 'truck', 'train')
)
THIRTEEN = tuple(
    name for name in SIXTEEN if name not in ('wall', 'fence', 'pole')
)


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A pair of datasets and its reported metrics.

    Attributes:
        title: Its name.
        domains: Dataset types of source and target.
        classes: Classes whose IoU is reported.
        means: Reported means.
        plain: Name of ``mIoU`` for a network with exactly these classes.
        published: Published rows.
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
