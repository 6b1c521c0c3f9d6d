# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from mmseg_cag.fileio.images import VisibleFilesBackend
from mmseg_cag.fileio.zip_backend import ZipBackend

from .domain_pool import DomainPool, PoolOrder
from .published import ACDCDataset, GTADataset, SYNTHIADataset
from .rare_classes import RareClassOrder
from .role_subset import role_subset
from .skip_bad_files import SkipBadFiles
from .transforms import (
    FindThings,
    LoadImageOnDemand,
    LoadLabelIds,
    LoadLabelsByName,
    LoadPseudoLabels,
    LoadTranslatedImage,
    MarkUntrusted,
    PackMarkedSegInputs,
    PackPseudoSegInputs,
    RandomResizeCrop,
    RedrawCrop,
    ResizeLabel,
)
from .uda import ShuffledOrder, UDADataset, UDASampler

__all__ = [
    'ACDCDataset',
    'DomainPool',
    'FindThings',
    'GTADataset',
    'LoadImageOnDemand',
    'LoadLabelIds',
    'LoadLabelsByName',
    'LoadPseudoLabels',
    'LoadTranslatedImage',
    'MarkUntrusted',
    'PackMarkedSegInputs',
    'PackPseudoSegInputs',
    'PoolOrder',
    'RandomResizeCrop',
    'RareClassOrder',
    'RedrawCrop',
    'ResizeLabel',
    'SYNTHIADataset',
    'ShuffledOrder',
    'SkipBadFiles',
    'UDADataset',
    'UDASampler',
    'VisibleFilesBackend',
    'ZipBackend',
    'role_subset',
]
