# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from mmseg_cag.fileio.images import VisibleFilesBackend
from mmseg_cag.fileio.zip_backend import ZipBackend

from .published import ACDCDataset, GTADataset, SYNTHIADataset
from .skip_bad_files import SkipBadFiles
from .transforms import (
    LoadImageOnDemand,
    LoadLabelIds,
    LoadLabelsByName,
    LoadPseudoLabels,
    LoadTranslatedImage,
    PackPseudoSegInputs,
    RandomResizeCrop,
    ResizeLabel,
)
from .uda import ShuffledOrder, UDADataset, UDASampler

__all__ = [
    'ACDCDataset',
    'GTADataset',
    'LoadImageOnDemand',
    'LoadLabelIds',
    'LoadLabelsByName',
    'LoadPseudoLabels',
    'LoadTranslatedImage',
    'PackPseudoSegInputs',
    'RandomResizeCrop',
    'ResizeLabel',
    'SYNTHIADataset',
    'ShuffledOrder',
    'SkipBadFiles',
    'UDADataset',
    'UDASampler',
    'VisibleFilesBackend',
    'ZipBackend',
]
