# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .gta import GTADataset
from .load_label_ids import LoadLabelIds
from .load_labels_by_name import LoadLabelsByName
from .resize_label import ResizeLabel
from .synthia import SYNTHIADataset
from .uda_dataset import UDADataset
from .uda_sampler import UDASampler

__all__ = [
    'GTADataset',
    'LoadLabelIds',
    'LoadLabelsByName',
    'ResizeLabel',
    'SYNTHIADataset',
    'UDADataset',
    'UDASampler',
]
