# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from mmseg_cag.models import backbones, heads, losses, segmentors, translation

from .anchors import AnchorBank
from .data_preprocessor import UDADataPreprocessor

__all__ = [
    'AnchorBank',
    'UDADataPreprocessor',
    'backbones',
    'heads',
    'losses',
    'segmentors',
    'translation',
]
