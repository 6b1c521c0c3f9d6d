# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .load_labels_by_name import LoadLabelsByName
from .load_pseudo_labels import LoadPseudoLabels, PackPseudoSegInputs
from .load_translated_image import LoadTranslatedImage
from .loading import LoadImageOnDemand, LoadLabelIds
from .random_resize_crop import RandomResizeCrop, ResizeLabel

__all__ = [
    'LoadImageOnDemand',
    'LoadLabelIds',
    'LoadLabelsByName',
    'LoadPseudoLabels',
    'LoadTranslatedImage',
    'PackPseudoSegInputs',
    'RandomResizeCrop',
    'ResizeLabel',
]
