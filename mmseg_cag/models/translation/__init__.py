# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .image_pool import ImagePool
from .image_translator import ImageTranslator
from .perceptual_loss import PerceptualLoss
from .resnet_generator import ResNetGenerator

__all__ = [
    'ImagePool',
    'ImageTranslator',
    'ResNetGenerator',
    'PerceptualLoss',
]
