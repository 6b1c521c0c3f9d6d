# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .image_pool import ImagePool
from .image_translator import ImageTranslator
from .patch_discriminator import PatchDiscriminator
from .resnet_generator import ResNetGenerator
from .perceptual_loss import PerceptualLoss

__all__ = [
    'ImagePool',
    'ImageTranslator',
    'PatchDiscriminator',
    'ResNetGenerator',
    'PerceptualLoss',
]
