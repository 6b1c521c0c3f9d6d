# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from mmseg_cag.models import (
    anchors,
    backbones,
    discriminators,
    heads,
    losses,
    segmentors,
    translation,
)

from .data_preprocessor import UDADataPreprocessor
from .distillation import Distillation
from .masking import Masking
from .teacher import Teacher

__all__ = [
    'Distillation',
    'Masking',
    'Teacher',
    'UDADataPreprocessor',
    'anchors',
    'backbones',
    'discriminators',
    'heads',
    'losses',
    'segmentors',
    'translation',
]
