# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .ignore_classes import IgnoreClasses
from .load_labels_by_name import LoadLabelsByName
from .load_pseudo_labels import LoadPseudoLabels, PackPseudoSegInputs
from .load_translated_image import LoadTranslatedImage
from .loading import LoadImageOnDemand, LoadLabelIds
from .mark_pixels import (
    FindThings,
    MarkUntrusted,
    PackMarkedSegInputs,
    PadMarked,
)
from .random_resize_crop import RandomResizeCrop, ResizeLabel
from .redraw_crop import RedrawCrop

__all__ = [
    'FindThings',
    'IgnoreClasses',
    'LoadImageOnDemand',
    'LoadLabelIds',
    'LoadLabelsByName',
    'LoadPseudoLabels',
    'LoadTranslatedImage',
    'MarkUntrusted',
    'PackMarkedSegInputs',
    'PackPseudoSegInputs',
    'PadMarked',
    'RandomResizeCrop',
    'RedrawCrop',
    'ResizeLabel',
]
