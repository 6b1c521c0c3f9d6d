# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .cached_encoder import CachedEncoder
from .ceil_resnet import CeilResNet
from .dinov2 import DINOv2, DINOv3
from .efficientnet_lite import EfficientNetLite
from .hrda_backbone import HRDABackbone
from .mobilenet_v2 import ImageNetMobileNetV2
from .released_mit import ReleasedMiT
from .timm_encoder import TIMMEncoder
from .vit_adapter import ViTAdapter

__all__ = [
    'CachedEncoder',
    'CeilResNet',
    'DINOv2',
    'DINOv3',
    'EfficientNetLite',
    'ImageNetMobileNetV2',
    'TIMMEncoder',
    'HRDABackbone',
    'ReleasedMiT',
    'ViTAdapter',
]
