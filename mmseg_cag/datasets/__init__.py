# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from mmseg_cag.fileio.zip_backend import ZipBackend

from .gta import GTADataset
from .skip_bad_files import SkipBadFiles
from .synthia import SYNTHIADataset
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
from .uda_dataset import UDADataset
from .uda_sampler import ShuffledOrder, UDASampler

__all__ = [
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
    'ZipBackend',
]
