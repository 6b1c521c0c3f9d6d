# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .gta import GTADataset
from .load_label_ids import LoadLabelIds
from .load_labels_by_name import LoadLabelsByName
from .load_pseudo_labels import LoadPseudoLabels
from .load_translated_image import LoadTranslatedImage
from .pack_pseudo_labels import PackPseudoSegInputs
from .resize_label import ResizeLabel
from .skip_bad_files import SkipBadFiles
from .synthia import SYNTHIADataset
from .transforms import LoadImageOnDemand, RandomResizeCrop
from .uda_dataset import UDADataset
from .uda_sampler import UDASampler
from .zip_files import ZipBackend

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
    'SkipBadFiles',
    'UDADataset',
    'UDASampler',
    'ZipBackend',
]
