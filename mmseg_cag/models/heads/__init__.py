# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .anchor_head import AnchorHead
from .co_training_head import CoTrainingHead
from .daformer_head import DAFormerHead
from .deeplabv3plus_head import DeepLabV3PlusHead
from .dlv2_head import DLV2Head
from .hrda_head import HRDAHead
from .proda_head import ProDAHead
from .vit_heads import VFMUDAHead, VFMUDAPlusHead

__all__ = [
    'AnchorHead',
    'CoTrainingHead',
    'DAFormerHead',
    'DLV2Head',
    'DeepLabV3PlusHead',
    'HRDAHead',
    'ProDAHead',
    'VFMUDAHead',
    'VFMUDAPlusHead',
]
